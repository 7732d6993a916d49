"""How an encoder is taught to hear beside a cut what it hears in the whole recording."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from recipes.content_edges import examples as cut_examples
from recipes.content_edges.__main__ import main
from recipes.content_edges.examples import CutExamples, cut_windows, whole_windows
from recipes.content_edges.training import EdgeTraining, disagreement
from recipes.corpora import Corpus
from tests.tools.content_encoder_tools import SIZES
from utils.audio.synthetic_speech import voice
from utils.features.content.builtin import BuiltinContent
from utils.features.identity import weights_of_features
from utils.training.checkpoints import save_weights

RATE = 16000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("speech")
    for index, name in enumerate(("anna_1", "ben_1")):
        soundfile.write(folder / f"{name}.wav", voice(4.0, f0_hz=120.0 + 60 * index, seed=index), RATE)
    return Corpus("mine", folder, 1.0)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder whose features differ from frame to frame."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder") / "small.safetensors"
    named = {key: str(value) for key, value in asdict(SIZES).items() if key != "num_units"}
    network = SIZES.build()
    torch.nn.init.zeros_(network.head.bias)
    state = {name: 3.0 * value if value.dim() > 1 else value for name, value in network.state_dict().items()}
    save_weights(path, state, {**named, "version": "small"})
    return path


def test_windows_are_parts_of_the_excerpt_on_the_frames_that_they_name() -> None:
    audio = np.arange(150 * 320, dtype=np.float32)

    heard, frames = cut_windows([audio, -audio], 25)  # 250 ms: 12 frames of 20 ms and a half

    assert heard.shape == (2 * len(frames), 4000) and frames.shape[1] == 13
    for index, first in enumerate(frames[:, 0].tolist()):
        assert heard[index, 0] == first * 320 and heard[len(frames) + index, 0] == -first * 320
    assert frames.min() >= 30 and frames.max() < 120
    assert frames.flatten().tolist() == list(range(30, 30 + frames.numel()))


def test_examples_are_those_of_seed_and_update(corpus: Corpus) -> None:
    first, second = (CutExamples([corpus], ["ben"], 1, batch_size=2) for _ in range(2))
    first.batch(0)

    batches = [first.batch(7), second.batch(7), first.batch(8)]

    assert torch.equal(batches[0].heard, batches[1].heard) and torch.equal(batches[0].whole, batches[1].whole)
    assert not torch.equal(batches[0].whole, batches[2].whole)
    assert {path.name for path in first.loaded} == {"anna_1.wav"}


def test_a_share_of_the_updates_hears_the_shortest_windows_alone(corpus: Corpus) -> None:
    lengths = {
        share: [
            examples.batch(update).heard.shape[1]
            for examples in [CutExamples([corpus], [], 0, batch_size=1, whole_share=0.0, shortest_share=share)]
            for update in range(8)
        ]
        for share in (0.0, 0.5, 1.0)
    }

    assert set(lengths[1.0]) == {1600} and 1600 not in lengths[0.0]
    assert 2 <= lengths[0.5].count(1600) <= 6
    # a share changes no length but those that it makes the shortest
    assert all(some in (1600, none) for some, none in zip(lengths[0.5], lengths[0.0], strict=True))


def test_an_encoder_agrees_with_itself_on_the_whole_and_less_beside_cuts(corpus: Corpus, start: Path) -> None:
    network = BuiltinContent(weights=str(start)).network
    batch = CutExamples([corpus], [], 0, batch_size=2).batch(0)
    same = [np.asarray(item) for item in batch.whole]

    whole, cut = (
        float(disagreement(network, network, batch._replace(heard=windows.heard, frames=windows.frames), future=None))
        for windows in (whole_windows(same), cut_windows(same, 10))
    )

    assert whole < 0.2 * cut


@pytest.mark.slow
def test_training_brings_windows_nearer_to_the_whole(corpus: Corpus, start: Path) -> None:
    training = EdgeTraining(BuiltinContent(weights=str(start)), num_updates=20, rate=2e-3)
    batch = CutExamples([corpus], [], 0, batch_size=1, whole_share=0.0).batch(0)

    before = float(disagreement(training.pupil, training.teacher.network, batch, future=None).detach())
    for _ in range(20):
        training.step(batch)

    after = float(disagreement(training.pupil, training.teacher.network, batch, future=None).detach())
    assert after < 0.9 * before


def command(corpus: Corpus, start: Path, output: Path) -> list[str]:
    corpora = ["~corpora", f"+corpora={{mine: {{folder: '{corpus.folder}', share: 1}}}}"]
    return [f"output={output}", f"start={start}", "updates=4", "save_minutes=0.01", *corpora]


def test_command_writes_an_encoder_that_hears_and_a_resumed_one_is_the_same(
    corpus: Corpus, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cut_examples, "SECONDS", 2.6)
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    training = EdgeTraining(BuiltinContent(weights=str(start)), num_updates=4, rate=2e-4)
    examples = CutExamples([corpus], [], 0)
    for update in range(2):
        training.step(examples.batch(update))
    training.save(other.with_suffix(".ckpt"))

    assert main(command(corpus, start, one)) == 0
    assert main(command(corpus, start, other)) == 0

    first, second = load_file(one), load_file(other)
    assert all(torch.equal(first[name], second[name]) for name in first) and first.keys() == second.keys()
    assert not other.with_suffix(".ckpt").exists()
    encoder = BuiltinContent(weights=str(one))
    assert encoder.encode(voice(1.0)).shape == (100, SIZES.dim)
    assert weights_of_features(encoder.identity) == (encoder.sha256, BuiltinContent(weights=str(start)).sha256)


def test_an_encoder_taught_by_a_taught_one_has_the_features_of_the_first(
    corpus: Corpus, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cut_examples, "SECONDS", 2.6)
    second, third, fourth = (tmp_path / f"{name}.safetensors" for name in ("second", "third", "fourth"))
    assert main([*command(corpus, start, second), "updates=3", "rate=0.05"]) == 0

    assert main([*command(corpus, second, third), "updates=3", "rate=0.05"]) == 0
    assert main([*command(corpus, second, fourth), "updates=3", "rate=0.05", f"teacher={start}"]) == 0

    first = BuiltinContent(weights=str(start)).sha256
    for path in (third, fourth):
        assert weights_of_features(BuiltinContent(weights=str(path)).identity)[-1] == first
    # what the teacher hears in the whole decides what is learned
    assert not torch.equal(load_file(third)["head.weight"], load_file(fourth)["head.weight"])


def test_a_teacher_of_other_features_is_refused(
    corpus: Corpus, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*command(corpus, start, tmp_path / "new.safetensors"), "teacher=content_builtin.safetensors"])

    said = f"teacher=content_builtin.safetensors gives other features than start={start.name}"
    assert code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("updates=0", "updates=0 is out of range"),
        ("start=nowhere", "content.weights=nowhere is not a file"),
        ("output=null", "output is missing; give the name of a new file"),
        ("corpora.mine.folder=nowhere", "corpora.mine.folder=nowhere is not a folder"),
    ],
)
def test_bad_command_is_one_line(
    more: str, said: str, corpus: Corpus, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*command(corpus, start, tmp_path / "new.safetensors"), more])

    errors = capsys.readouterr().err
    assert code == 2 and said in errors and errors.count("\n") == 1
    assert not (tmp_path / "new.safetensors").exists()
