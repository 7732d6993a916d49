"""A user names a speaker, or gives its number."""

import pytest

from utils.errors import ConfigError
from utils.voice_file.speakers import speaker_number


@pytest.mark.parametrize(
    ("wanted", "names", "number"),
    [
        ("bob", ["ann", "bob"], 1),
        (1, ["ann", "bob"], 1),
        (2, ["1", "2"], 1),  # the name; there is no number 2
        (0, ["1", "2"], 0),
        ("1", ["1", "2"], 0),
        (1, ["0", "1"], 1),
        (1.5, ["ann", "1.5"], 1),
    ],
)
def test_a_speaker_is_a_name_before_it_is_a_number(wanted: str | float, names: list[str], number: int) -> None:
    assert speaker_number(wanted, names, "speaker", "a.onnx") == number


@pytest.mark.parametrize(
    ("wanted", "names", "message"),
    [
        (1, ["1", "2"], "speaker=1 is the name of speaker 0 and the number of speaker '2'; type the name in quotes"),
        (2, ["ann", "bob"], "speaker=2 is not in a.onnx; it has: 0 ann, 1 bob"),
        ("2", ["ann", "bob", "carl"], "speaker='2' is not in a.onnx"),
        (True, ["ann", "bob"], "speaker=True is not in a.onnx"),
        (-1, ["ann"], "speaker=-1 is not in a.onnx"),
    ],
)
def test_a_speaker_that_is_not_clear_is_refused(wanted: object, names: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        speaker_number(wanted, names, "speaker", "a.onnx")

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
