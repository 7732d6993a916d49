"""How the network of pitch=builtin is made from SwiftF0's."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from recipes.content_encoder.corpora import Corpus
from recipes.pitch import narrow_tracker as pitch
from utils.audio.synthetic_speech import voice
from utils.errors import DataError
from utils.features.pitch.network import NUM_LAYERS, PitchNetwork
from utils.features.pitch.swift import SwiftPitch, builtin_tracker

RATE = 16000


@cache
def teacher() -> SwiftPitch:
    return SwiftPitch()


@cache
def spectra() -> torch.Tensor:
    return pitch.read(teacher(), torch.from_numpy(np.stack([voice(1.0, f0_hz=f0_hz) for f0_hz in (110.0, 230.0)])))


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    folder = tmp_path / "speech"
    folder.mkdir()
    for index, name in enumerate(("anna_1", "anna_2", "ben_1")):
        soundfile.write(folder / f"{name}.wav", voice(4.0, f0_hz=120.0 + 60 * index, seed=index), RATE)
    return Corpus("mine", folder, 1.0)


def test_all_channels_kept_are_the_network_itself() -> None:
    same = PitchNetwork(pitch.narrowed(teacher().network, spectra(), 12))

    with torch.no_grad():
        for found, expected in zip(same(spectra()), teacher().network(spectra()), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-3)


def test_narrowed_network_has_fewer_channels_and_starts_nearer_than_one_that_was_merely_cut() -> None:
    weights = pitch.narrowed(teacher().network, spectra(), 8)
    cut = {name: value.detach() for name, value in teacher().network.weights.items()}
    for index in range(13):
        cut[f"bias_{index}"] = cut[f"bias_{index}"][:8]
        cut[f"weight_{index}"] = cut[f"weight_{index}"][:8, : 8 if index else 3]
    cut["weight_13"] = cut["weight_13"][:, :8]

    with torch.no_grad():
        expected = torch.cat([value.flatten() for value in teacher().network(spectra())])
        narrow, merely_cut = (
            (torch.cat([value.flatten() for value in PitchNetwork(item)(spectra())]) - expected).square().mean()
            for item in (weights, cut)
        )

    assert {name: value.shape for name, value in weights.items()} == {name: value.shape for name, value in cut.items()}
    assert narrow < 0.3 * merely_cut


def test_shipped_network_has_the_shapes_that_the_recipe_makes() -> None:
    made, shipped = (
        pitch.narrowed(teacher().network, spectra(), pitch.CHANNELS),
        builtin_tracker().network.weights,
    )

    assert len(made) == 2 * NUM_LAYERS
    assert {name: value.shape for name, value in made.items()} == {name: value.shape for name, value in shipped.items()}


def test_training_brings_the_network_nearer_to_its_teacher(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pitch, "SECONDS", 0.6)
    student = PitchNetwork(pitch.narrowed(teacher().network, spectra(), 6))
    plain, changed = pitch.Material([corpus], seed=5).draw()

    before = float(pitch.disagreement(student, teacher(), plain, changed).detach())
    pitch.train(student, teacher(), pitch.Material([corpus]), 12)

    assert float(pitch.disagreement(student, teacher(), plain, changed).detach()) < 0.8 * before


def test_material_is_that_of_its_seed_and_leaves_out_who_is_named(corpus: Corpus) -> None:
    first, second, other = (pitch.Material([corpus], ["ben"], seed) for seed in (1, 1, 2))

    drawn = first.draw()

    for found, expected in zip(drawn, second.draw(), strict=True):
        assert torch.equal(found, expected)
    assert not torch.equal(drawn[0], other.draw()[0])
    first.draw()
    assert {path.name for path in first.loaded} == {"anna_1.wav", "anna_2.wav"}
    assert drawn[0].shape == drawn[1].shape == (pitch.BATCH, round(pitch.SECONDS * RATE))


def test_material_of_nobody_is_refused(corpus: Corpus) -> None:
    with pytest.raises(DataError, match="--corpus mine has nobody else than the speakers of --leave-out"):
        pitch.Material([corpus], ["anna", "ben"])


def test_tone_is_as_high_as_it_may_be() -> None:
    tones = [pitch.random_tone(np.random.default_rng(seed), RATE) for seed in range(4)]

    for tone in tones:
        assert tone.shape == (RATE,) and np.abs(tone).max() == pytest.approx(0.2)
        found = teacher().track(tone)[10:-10]
        assert (found > 0).mean() > 0.8
    assert len({round(float(np.median(teacher().track(tone)))) for tone in tones}) == len(tones)


def test_command_writes_a_network_that_the_tracker_takes(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pitch, "SECONDS", 0.6)
    made = tmp_path / "made.safetensors"
    command = ["--output", str(made), "--corpus", f"mine={corpus.folder}=1", "--updates", "1"]

    assert pitch.main(command) == 0

    found = SwiftPitch(weights=str(made)).track(voice(1.0, f0_hz=150.0))
    assert found.shape == (100,) and found.any()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--updates", "0"], "--updates=0 is out of range"),
        (["--seed", "-1"], "--seed=-1 is out of range"),
        (["--corpus", "other=nowhere=1"], "--corpus other: nowhere is not a folder"),
        (["--output", "old.safetensors"], "--output old.safetensors exists; give another name"),
    ],
)
def test_bad_command_is_one_line_and_changes_nothing(
    more: list[str],
    said: str,
    corpus: Corpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.safetensors").write_bytes(b"old")

    code = pitch.main(["--output", "new.safetensors", "--corpus", f"mine={corpus.folder}=1", *more])

    errors = capsys.readouterr().err
    assert code == 2 and said in errors and errors.count("\n") == 1
    assert Path("old.safetensors").read_bytes() == b"old" and not Path("new.safetensors").exists()
