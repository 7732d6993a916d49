"""The command line of the judge."""

import pytest

from benchmarks.voice_judge import parse

VOICE = ["--voice", "voice.onnx", "recordings"]


def test_controls_are_given_as_name_and_value() -> None:
    options = parse([*VOICE, "--control", "index_rate=0.2", "--control", "protect=0"])

    assert options.control == [("index_rate", 0.2), ("protect", 0.0)]


@pytest.mark.parametrize("text", ["index_rate", "index_rate=much", "pitch_shift=3"])
def test_what_is_no_control_is_refused_in_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        parse([*VOICE, "--control", text])

    assert error.value.code == 2
    assert f"'{text}' is not NAME=VALUE" in capsys.readouterr().err
