"""How the pitch network of streaming graphs is made from SwiftF0's."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from recipes.stream_pitch import training
from recipes.stream_pitch.__main__ import main
from recipes.stream_pitch.examples import BATCH, SECONDS, StreamPitchExamples
from recipes.stream_pitch.training import disagreement, train
from utils.audio.synthetic_speech import voice
from utils.features.pitch.stream_pitch import WEIGHTS, StreamPitch
from utils.features.pitch.swift import SwiftPitch

RATE = 16000


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "speech"
    folder.mkdir()
    for index in range(3):
        soundfile.write(folder / f"{index}.wav", voice(4.0, f0_hz=120.0 + 60 * index, seed=index), RATE)
    return folder


class Clock:
    """Runs by six seconds at each look, so that a training ends after a known number of updates."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += 6.0
        return self._now


def test_examples_are_those_of_their_seed(corpus: Path) -> None:
    first, second, other = (StreamPitchExamples(corpus, seed) for seed in (1, 1, 2))

    batch = first.batch()

    assert torch.equal(batch, second.batch()) and not torch.equal(batch, other.batch())
    assert batch.shape == (BATCH, round(SECONDS * RATE)) and batch.dtype == torch.float32


def test_levels_differ_and_some_have_noise(corpus: Path) -> None:
    examples = StreamPitchExamples(corpus, 0, seconds=0.5)

    levels = [float(np.abs(examples.excerpt()).max()) for _ in range(30)]

    assert max(levels) > 5 * min(levels)


@pytest.mark.slow
def test_training_brings_the_network_nearer_to_its_teacher(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "time", Clock())
    teacher = SwiftPitch()
    student = StreamPitch(teacher, None)
    audio = StreamPitchExamples(corpus, 5, seconds=0.6).batch()

    before = float(disagreement(student, teacher, audio).detach())
    train(student, teacher, StreamPitchExamples(corpus, 0, seconds=0.6), minutes=2.0)

    assert float(disagreement(student, teacher, audio).detach()) < 0.9 * before


@pytest.mark.slow
def test_command_writes_weights_like_the_shipped_ones(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "time", Clock())
    made = tmp_path / "made.safetensors"

    assert main([f"output={made}", f"corpus={corpus}", "minutes=0.15", f"start={WEIGHTS}"]) == 0

    found, shipped = load_file(made), load_file(WEIGHTS)
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in shipped.items()
    }
    assert any(not torch.equal(found[name], shipped[name]) for name in found)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("minutes=0", "minutes=0 is out of range"),
        ("corpus=nowhere", "no recordings in nowhere"),
        ("start=nowhere", "start=nowhere is not a file"),
        ("output=old.safetensors", "output=old.safetensors exists; give another name"),
    ],
)
def test_bad_command_is_one_line(
    more: str, said: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("old.safetensors").write_bytes(b"old")

    code = main(["output=new.safetensors", f"corpus={corpus}", more])

    errors = capsys.readouterr().err
    assert code == 2 and said in errors and errors.count("\n") == 1
    assert not Path("new.safetensors").exists()
