"""The verdicts of the benchmark of the augmentations."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.augmentation import OPTIONS, compare, disturb
from utils.audio.io import load_audio, save_audio
from utils.audio.synthetic_speech import voice

GROUP = Path(__file__).resolve().parents[2] / "configs" / "augmentation"


def verdicts(figure: str, **values: list[float]) -> list[object]:
    return [
        row[-1] for row in compare({option: [{figure: value} for value in each] for option, each in values.items()})
    ]


@pytest.mark.parametrize(
    ("figure", "words"),
    [("held_out_mel", ["", "better", "worse", "no difference"]),
     ("ecapa_converted_to_target", ["", "worse", "better", "no difference"])],
)  # fmt: skip
def test_option_is_better_only_by_more_than_the_seeds_differ(figure: str, words: list[str]) -> None:
    found = verdicts(figure, default=[0.50, 0.52], low=[0.46, 0.47], high=[0.56, 0.57], near=[0.50, 0.50])

    assert found == words


def test_one_seed_gives_no_verdict() -> None:
    assert verdicts("held_out_mel", default=[0.5], pitch=[0.4]) == ["", "+0.1000, one seed"]


def test_every_option_of_the_group_is_measured() -> None:
    assert set(OPTIONS) == {path.stem for path in GROUP.glob("*.yaml")}


def test_disturbed_sources_are_the_same_each_time_and_differ_from_the_plain(tmp_path: Path) -> None:
    save_audio(tmp_path / "a.wav", voice(1.0), 16000)

    first, second = (load_audio(disturb([tmp_path / "a.wav"], tmp_path / name)[0], 16000) for name in ("x", "y"))

    assert np.array_equal(first, second)
    assert np.abs(first - 0.5 * load_audio(tmp_path / "a.wav", 16000)).max() > 0.01
