"""How many of the sounds of speech recordings hold."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from utils.doctor.coverage import ENCODER, FILE, LEAST_FRAMES, SOUNDS, coverage
from utils.doctor.facts import VoiceFacts
from utils.doctor.rules import find_in_voice
from utils.features.content.builtin import BuiltinContent


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Four sounds, each the direction of an axis."""
    save_file({SOUNDS: 2 * np.eye(4, dtype=np.float16)}, tmp_path / "sounds.safetensors", {ENCODER: "ours"})
    return tmp_path / "sounds.safetensors"


def store(frames: dict[int, int], *, loudness_db: float = -20.0, encoder: str = "ours", taught_by: str = "none") -> Any:
    """Return what is read of a dataset of one clip: so many frames of each sound."""
    content = np.concatenate([np.tile(2 * np.eye(4)[sound], (count, 1)) for sound, count in frames.items()])
    features = {"content": content.astype(np.float32), "loudness_db": np.full(len(content), loudness_db)}
    return SimpleNamespace(
        clips=[SimpleNamespace(speaker="anna")],
        feature=lambda name, clip: features[name],
        description=SimpleNamespace(
            content=SimpleNamespace(identity={"weights_sha256": encoder, "same_features_as": taught_by})
        ),
    )


def test_a_sound_counts_when_it_is_heard_long_enough_and_loud_enough(sounds: Path) -> None:
    assert coverage(store({0: LEAST_FRAMES, 1: LEAST_FRAMES - 1, 2: 50}), "anna", sounds) == 0.5
    assert coverage(store({0: 50, 1: 50}, loudness_db=-60.0), "anna", sounds) == 0.0


def test_content_of_another_encoder_is_not_measured(sounds: Path) -> None:
    assert coverage(store({0: 9}, encoder="theirs"), "anna", sounds) is None
    assert coverage(store({0: 50}, encoder="theirs", taught_by="ours"), "anna", sounds) == 0.25


def test_the_shipped_sounds_are_those_of_the_shipped_encoder() -> None:
    with safe_open(FILE, "np") as file:
        assert file.metadata()[ENCODER] == BuiltinContent().sha256
        lengths = np.linalg.norm(file.get_tensor(SOUNDS).astype(np.float32), axis=1)
    assert np.allclose(lengths, np.sqrt(256), rtol=1e-2)


@pytest.mark.parametrize(("share", "found"), [(0.5, ["coverage"]), (0.95, []), (None, [])])
def test_recordings_that_hold_little_of_speech_are_told(share: float | None, found: list[str]) -> None:
    facts = VoiceFacts("anna", 9.0, 5.0, (100.0, 120.0, 200.0), (), 0.0, 24000.0, share)

    assert [item.rule for item in find_in_voice(facts)] == found
