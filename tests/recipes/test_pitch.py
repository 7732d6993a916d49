"""How the network of pitch=builtin is made from SwiftF0's."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from recipes.corpora import Corpus
from recipes.pitch import examples as pitch_examples
from recipes.pitch.__main__ import main
from recipes.pitch.channel_selection import narrowed_weights
from recipes.pitch.examples import BATCH, SECONDS, PitchExamples, random_tone
from recipes.pitch.training import CHANNELS, disagreement, spectra_of, train
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
    return spectra_of(teacher(), torch.from_numpy(np.stack([voice(1.0, f0_hz=f0_hz) for f0_hz in (110.0, 230.0)])))


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    folder = tmp_path / "speech"
    folder.mkdir()
    for index, name in enumerate(("anna_1", "anna_2", "ben_1")):
        soundfile.write(folder / f"{name}.wav", voice(4.0, f0_hz=120.0 + 60 * index, seed=index), RATE)
    return Corpus("mine", folder, 1.0)


def test_all_channels_kept_are_the_network_itself() -> None:
    same = PitchNetwork(narrowed_weights(teacher().network, spectra(), 12))

    with torch.no_grad():
        for found, expected in zip(same(spectra()), teacher().network(spectra()), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-3)


@pytest.mark.slow
def test_narrowed_network_has_fewer_channels_and_starts_nearer_than_one_that_was_merely_cut() -> None:
    weights = narrowed_weights(teacher().network, spectra(), 8)
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


@pytest.mark.slow
def test_shipped_network_has_the_shapes_that_the_recipe_makes() -> None:
    made, shipped = (
        narrowed_weights(teacher().network, spectra(), CHANNELS),
        builtin_tracker().network.weights,
    )

    assert len(made) == 2 * NUM_LAYERS
    assert {name: value.shape for name, value in made.items()} == {name: value.shape for name, value in shipped.items()}


@pytest.mark.slow
def test_training_brings_the_network_nearer_to_its_teacher(corpus: Corpus) -> None:
    student = PitchNetwork(narrowed_weights(teacher().network, spectra(), 6))
    batch = PitchExamples([corpus], seed=5, seconds=0.6).batch()

    before = float(disagreement(student, teacher(), batch).detach())
    train(student, teacher(), PitchExamples([corpus], seconds=0.6), 12)

    assert float(disagreement(student, teacher(), batch).detach()) < 0.8 * before


def test_examples_are_those_of_their_seed_and_leave_out_who_is_named(corpus: Corpus) -> None:
    first, second, other = (PitchExamples([corpus], ["ben"], seed) for seed in (1, 1, 2))

    batch = first.batch()

    for found, expected in zip(batch, second.batch(), strict=True):
        assert torch.equal(found, expected)
    assert not torch.equal(batch[0], other.batch()[0])
    first.batch()
    assert {path.name for path in first.loaded} == {"anna_1.wav", "anna_2.wav"}
    assert batch[0].shape == batch[1].shape == (BATCH, round(SECONDS * RATE))


def test_examples_of_nobody_are_refused(corpus: Corpus) -> None:
    with pytest.raises(DataError, match=r"corpora\.mine has nobody else than the speakers of leave_out"):
        PitchExamples([corpus], ["anna", "ben"])


def test_tone_is_as_high_as_it_may_be() -> None:
    tones = [random_tone(np.random.default_rng(seed), RATE) for seed in range(4)]

    for tone in tones:
        assert tone.shape == (RATE,) and np.abs(tone).max() == pytest.approx(0.2)
        found = teacher().track(tone)[10:-10]
        assert (found > 0).mean() > 0.8
    assert len({round(float(np.median(teacher().track(tone)))) for tone in tones}) == len(tones)


def corpora(folder: Path | str) -> list[str]:
    """Return what replaces the recipe's corpora by one."""
    return ["~corpora", f"+corpora={{mine: {{folder: '{folder}', share: 1}}}}"]


@pytest.mark.slow
def test_command_writes_a_network_that_the_tracker_takes(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pitch_examples, "TONE_SHARE", 1.0)  # a tone is made faster than an excerpt is read
    made = tmp_path / "made.safetensors"

    assert main([f"output={made}", *corpora(corpus.folder), "updates=1"]) == 0

    found = SwiftPitch(weights=str(made)).track(voice(1.0, f0_hz=150.0))
    assert found.shape == (100,) and found.any()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["updates=0"], "updates=0 is out of range"),
        (["seed=-1"], "seed=-1 is out of range"),
        (["corpora.mine.folder=nowhere"], "corpora.mine.folder=nowhere is not a folder"),
        (["output=old.safetensors"], "output=old.safetensors exists; give another name"),
        (["output=null"], "output is missing; give the name of a new file"),
        (["update=3"], "Could not override 'update'"),
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

    code = main(["output=new.safetensors", *corpora(corpus.folder), *more])

    errors = capsys.readouterr().err
    assert code == 2 and said in errors and errors.count("\n") == 1
    assert Path("old.safetensors").read_bytes() == b"old" and not Path("new.safetensors").exists()
