"""A base voice made narrower: which units go, what the others take over, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from models.lite import LiteVoice
from recipes.base_voice import base_files
from recipes.base_voice.__main__ import main
from recipes.base_voice.narrow_base import narrow_base
from recipes.base_voice.unit_removal import narrow_blocks, remaining_units
from tests.tools.corpus_tools import described
from tests.tools.training_tools import make_dataset
from utils.audio.batch import VoiceBatch
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.training.checkpoint_checks import PAYLOAD_KEY
from utils.training.checkpoints import save_weights


def moments(units: Tensor) -> Tensor:
    joined = torch.cat([units, torch.ones_like(units[:, :1])], dim=1).double()
    return joined.T @ joined / len(joined)


def test_a_unit_that_others_make_up_for_goes_and_nothing_changes() -> None:
    generator = torch.Generator().manual_seed(0)
    units = torch.randn(500, 6, generator=generator).double()
    units[:, 2] = 0.5 * units[:, 0] - units[:, 5] + 3.0
    units[:, 4] = 2.0 * units[:, 1]
    weight = torch.randn(4, 7, generator=generator).double()
    moment = moments(units)

    kept, new = remaining_units(weight, moment, torch.ones(4, 1).double(), 4)

    # of two or more units that hold the same any may go
    assert len(kept) == 4 and len({1, 4} & set(kept.tolist())) == 1 and 3 in kept
    gone = sorted(set(range(6)) - set(kept.tolist()))
    assert new[:, gone].abs().max() == 0
    joined = torch.cat([units, torch.ones(500, 1)], dim=1)
    torch.testing.assert_close(joined @ new.T, joined @ weight.T, rtol=0, atol=0.01)


def test_units_that_matter_least_go_first() -> None:
    units = torch.randn(4000, 5, generator=torch.Generator().manual_seed(1)).double()
    weight = torch.tensor([[1.0, 0.1, 0.9, 0.2, 0.8, 0.0], [0.0, 0.0, 0.0, 3.0, 0.0, 0.0]]).double()

    kept, _ = remaining_units(weight, moments(units), torch.ones(2, 1).double(), 3)
    assert kept.tolist() == [0, 2, 3]
    kept, _ = remaining_units(weight, moments(units), torch.tensor([[1.0], [0.0]]).double(), 3)
    assert kept.tolist() == [0, 2, 4]  # an output without gain needs nothing


def random_voice(expansion: int) -> LiteVoice:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LiteVoice(
            sample_rate=16000, n_fft=640, content_dim=4, num_speakers=2, channels=8, num_blocks=2, expansion=expansion,
            speaker_dim=3,
        ).eval()  # fmt: skip


def random_batch() -> VoiceBatch:
    generator = torch.Generator().manual_seed(0)
    frames = torch.full((3,), 40)
    return VoiceBatch(
        audio=torch.randn(3, 40 * 160, generator=generator) * 0.1,
        content=torch.randn(3, 40, 4, generator=generator),
        f0_hz=torch.full((3, 40), 150.0),
        loudness_db=torch.full((3, 40), -20.0),
        speaker_id=torch.tensor([0, 1, 0]),
        num_frames=frames,
        segment=torch.arange(3),
    )


def test_a_voice_becomes_narrower_where_hidden_units_repeat() -> None:
    """Each unit is there twice, so that half of them can go without a change of the sound."""
    narrow_voice, wide = random_voice(2), random_voice(4)
    for ours, theirs in zip(wide.blocks, narrow_voice.blocks, strict=True):
        ours.load_state_dict(
            theirs.state_dict()
            | {
                "expand.weight": theirs.expand.weight.repeat(2, 1),  # type: ignore[union-attr, operator]
                "expand.bias": theirs.expand.bias.repeat(2),  # type: ignore[union-attr, operator]
                "project.weight": theirs.project.weight.repeat(1, 2) / 2,  # type: ignore[union-attr, operator]
            }
        )
    batch = random_batch()
    before = wide(batch)

    lost = narrow_blocks(wide, [batch], 2)

    assert lost < 1e-5
    assert {name: value.shape for name, value in wide.state_dict().items()} == {
        name: value.shape for name, value in random_voice(2).state_dict().items()
    }
    error = (wide(batch) - before).square().mean() / before.square().mean()
    assert 10 * torch.log10(error) < -50


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("datasets")) / "tiny"


def write_base(folder: Path, dataset: Path, *, content: str = "", num_speakers: int | None = None) -> LiteVoice:
    """Write a base of the dataset's speakers, its blocks' hidden layers four times as wide as the blocks."""
    store = CorpusStore.open(dataset)
    voice = LiteVoice(
        sample_rate=store.audio.sample_rate,
        n_fft=store.audio.n_fft,
        content_dim=store.content_dim,
        num_speakers=num_speakers or len(store.speakers),
        channels=8,
        num_blocks=2,
        expansion=4,
    )
    metadata = {"version": "1", "steps": "5", "content_weights_sha256": content}
    save_weights(folder / "lite_base_generator.safetensors", voice.state_dict(), metadata)
    save_weights(folder / "lite_base_discriminator.safetensors", {"x": torch.ones(1)}, metadata)
    return voice


@pytest.mark.slow
def test_files_of_a_narrower_base(tmp_path: Path, dataset: Path) -> None:
    voice = write_base(tmp_path, dataset)
    (tmp_path / "out").mkdir()

    lost = narrow_base(tmp_path, dataset, 3, version="2", output=tmp_path / "out")

    assert 0 < lost < 1
    tensors = load_file(tmp_path / "out" / "lite_base_generator.safetensors")
    assert tensors["blocks.1.expand.weight"].shape == (24, 8)
    assert torch.equal(tensors["head.project.weight"], voice.head.project.weight.half())
    with safe_open(str(tmp_path / "out" / "lite_base_discriminator.safetensors"), framework="pt") as stream:
        assert stream.metadata() == {"version": "2", "steps": "5", "content_weights_sha256": ""}


@pytest.mark.parametrize(
    ("expansion", "other", "words"),
    [
        (4, {}, "the base has 4; give less"),
        (2, {"content": "ab"}, "does not read the content features of"),
        (2, {"num_speakers": 5}, r"the base has 5 speaker\(s\), .* has 2"),
    ],
)
def test_a_base_that_does_not_fit_is_refused(
    expansion: int, other: dict[str, Any], words: str, tmp_path: Path, dataset: Path
) -> None:
    write_base(tmp_path, dataset, **other)

    with pytest.raises(ConfigError, match=words):
        narrow_base(tmp_path, dataset, expansion, version="2", output=tmp_path / "out")

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["narrow=2"], "dataset is missing"),
        (["narrow=0"], "narrow=0 is out of range"),
        (["narrow=2", "dataset=nowhere"], "nowhere"),
        ([], "nothing is given; give one of run, rebase, narrow"),
        (["narrow=2", "run=runs/base"], "run and narrow is given; give one of"),
        (["rebase=old.safetensors"], "recordings is missing; give a folder of speech"),
    ],
)
def test_what_cannot_be_narrowed_is_said_in_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, f"output={tmp_path / 'out'}"]) == 2

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and words in lines[0]
    assert not list((tmp_path / "out").glob("*"))


def test_an_earlier_base_is_never_replaced(tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_base(tmp_path, dataset)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    assert main(["narrow=2", f"dataset={dataset}", f"base={tmp_path}", f"output={tmp_path}"]) == 2

    assert "has a lite_base_generator.safetensors already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("missing", ["generator", "discriminator"])
def test_a_run_without_one_of_the_networks_makes_no_base(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without averaging the trained weights are taken; without a discriminator there is no base."""
    state = {"generator.a": torch.ones(1), "discriminator.b": torch.ones(2), "steps_done": torch.tensor(7)}
    content = {
        "state_dict": {key: value for key, value in state.items() if not key.startswith(missing)},
        PAYLOAD_KEY: {"dataset": described("x", content={"weights_sha256": "ab"}).to_plain()},
    }
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    monkeypatch.setattr(base_files, "read_checkpoint", lambda path: content)
    arguments = [f"run={tmp_path}", f"output={tmp_path / 'out'}"]

    assert main(arguments) == 2
    assert f"last.ckpt has no {missing}" in capsys.readouterr().err and not (tmp_path / "out").exists()

    content["state_dict"] = state
    assert main(arguments) == 0
    assert load_file(tmp_path / "out" / "lite_base_generator.safetensors")["a"].tolist() == [1]
    assert load_file(tmp_path / "out" / "lite_base_discriminator.safetensors")["b"].tolist() == [1, 1]


def test_the_shipped_base_has_the_widths_of_the_default_model() -> None:
    tensors = load_file(Path(__file__).parents[2] / "models" / "weights" / "lite_base_generator.safetensors")
    assert tensors["blocks.0.expand.weight"].shape == (640, 320)
