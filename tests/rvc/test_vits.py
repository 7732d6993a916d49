"""Files of VITS: what a network is, what its config.json adds, what is left out and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.tools.corpus_tools import described
from tests.tools.model_tools import small_model
from tests.tools.rvc_tools import settings_of, small_generator
from utils.config.export import export_job
from utils.config.train import train_job
from utils.errors import WorkbenchError
from utils.export.plans import plan_export
from utils.export.rvc import imported_voice as imported
from utils.rvc.matching import network_weights
from utils.rvc.reading import read_foreign
from utils.training.rvc_weights import load_rvc_weights

TEXT = {"enc_p.emb.weight": torch.ones(178, 16), "dp.flows.0.m": torch.ones(2, 1)}


def small_network() -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = train_job(small_model("vits_vc")).model.build(content_dim=1, num_speakers=3)
    return network


def vits_files(folder: Path, *, drop: str = "", config: dict[str, Any] | None = None) -> Path:
    """Write G_1000.pth with what reads text, and config.json with changes to its section data; return the first."""
    path = folder / "G_1000.pth"
    state = {name: value for name, value in small_network().state_dict().items() if name != drop}
    torch.save({"model": {**TEXT, **state}, "iteration": 7, "optimizer": {}, "learning_rate": 2e-4}, path)
    data = {"sampling_rate": 22050, "hop_length": 256, "filter_length": 1024, "n_speakers": 3, **(config or {})}
    content = {"train": {}, "data": data, "model": {"gin_channels": 8}, "speakers": ["anna", "bert", "carl"]}
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let imported voices have the depth of these tests, which shapes alone do not say."""
    published = imported.voice_config

    def shrunk(file: Any) -> dict[str, Any]:
        config = published(file)
        return {**config, "model": config["model"] | {"posterior_layers": 2}}

    monkeypatch.setattr(imported, "voice_config", shrunk)


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(WorkbenchError) as caught:
        imported.load_imported_voice(settings_of(path, *overrides))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_network_is_told_by_its_names_and_loses_what_reads_text(tmp_path: Path) -> None:
    file = read_foreign(vits_files(tmp_path))

    assert (file.program, file.epoch, file.sample_rate) == ("vits", 7, 22050)
    assert file.speakers == ("anna", "bert", "carl")
    assert str(file.layout) == "generator of VITS for 3 speakers"
    assert not [name for name in file.weights if name.startswith(("enc_p.", "dp."))]


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_voice_needs_no_encoder_and_converts_with_the_weights_of_its_file(tmp_path: Path) -> None:
    loaded = imported.load_imported_voice(settings_of(vits_files(tmp_path)))

    expected = small_network().state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.model.state_dict().items())
    assert loaded.speakers == ["anna", "bert", "carl"]
    assert loaded.converter.idle_controls == {"pitch_shift", "index_rate", "protect"}
    assert loaded.converter.special_controls == ("source_id",)
    assert "no content encoder, no pitch" in imported.explain_import(loaded)[-1]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("content=toy",), "content= does nothing: G_1000.pth is VITS, which reads the audio itself; leave it out"),
        (("pitch=builtin",), "pitch= does nothing"),
        (("rvc.embedder=contentvec",), "rvc.embedder= does nothing"),
        (("rvc.speakers=[0]",), "converts between its speakers; name two or more"),
    ],
)
def test_what_would_do_nothing_is_refused(overrides: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    assert reason in refusal(vits_files(tmp_path), *overrides)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"sampling_rate": 44100}, "says sampling_rate 44100, G_1000.pth needs 22050"),
        ({"hop_length": 512}, "says hop_length 512"),
        ({"filter_length": 2048}, "says filter_length 2048"),
        ({"n_speakers": 109}, "says n_speakers 109, G_1000.pth needs 3"),
    ],
)
def test_a_configuration_of_another_voice_is_refused(config: dict[str, Any], reason: str, tmp_path: Path) -> None:
    assert reason in refusal(vits_files(tmp_path, config=config))


def test_a_voice_of_one_speaker_says_why_it_is_refused(tmp_path: Path) -> None:
    assert "a VITS voice of one speaker, which has nobody to convert from" in refusal(
        vits_files(tmp_path, drop="emb_g.weight")
    )


def test_a_voice_without_its_configuration_asks_for_it(tmp_path: Path) -> None:
    path = vits_files(tmp_path)
    (tmp_path / "config.json").unlink()

    assert "put the config.json that it came with into its folder" in refusal(path)


@pytest.mark.parametrize("speakers", [[2, 0], "mean"], ids=str)
def test_a_training_begins_with_the_weights_and_speakers_of_a_file(speakers: Any, tmp_path: Path) -> None:
    network = train_job(small_model("vits_vc")).model.build(content_dim=1, num_speakers=2)

    said = load_rvc_weights(
        network, vits_files(tmp_path), "pretrained.generator", described("x", "y", content={}), speakers=speakers
    )

    found, expected = network.state_dict(), small_network().state_dict()
    rows = expected["emb_g.weight"]
    wanted = rows[[2, 0]] if isinstance(speakers, list) else rows.mean(dim=0).expand(2, -1)
    torch.testing.assert_close(found["emb_g.weight"], wanted)
    assert all(torch.equal(found[name], expected[name]) for name in found if name != "emb_g.weight")
    assert "from G_1000.pth: training file of VITS" in said


def test_a_file_of_vits_is_refused_by_another_model(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="is a generator of VITS for 3 speakers, this model is a generator"):
        load_rvc_weights(
            small_generator(), vits_files(tmp_path), "pretrained.generator", described("x", content={"id": "hubert"})
        )


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("shares", [(0.3, 0.7), (1.0, 0.0)])
def test_voices_are_blended_with_the_part_that_hears(shares: tuple[float, float], tmp_path: Path) -> None:
    paths = [tmp_path / name / "G_1000.pth" for name in ("one", "two")]
    for path, factor in zip(paths, (1.0, 1.1), strict=True):
        path.parent.mkdir()
        content = torch.load(vits_files(path.parent), weights_only=True)
        content["model"] = {name: factor * value for name, value in content["model"].items()}
        torch.save(content, path)
    words = f"blend={{{paths[0]}: {shares[0]}, {paths[1]}: {shares[1]}}}"
    plan = plan_export(export_job([words]))
    assert plan.imported is not None
    expected = small_network().state_dict()
    written = network_weights(small_network())

    loaded = imported.load_imported_voice(plan.imported)

    assert loaded.speakers == ["anna", "bert", "carl"]
    for name, value in loaded.model.state_dict().items():
        if value.is_floating_point() and name in written:
            torch.testing.assert_close(value, (shares[0] + 1.1 * shares[1]) * expected[name])


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_speakers_of_a_voice_are_blended(tmp_path: Path) -> None:
    settings = settings_of(vits_files(tmp_path), "blend={anna: 0.5, carl: 0.5}")

    loaded = imported.load_imported_voice(settings)

    table, given = loaded.model.state_dict()["emb_g.weight"], small_network().state_dict()["emb_g.weight"]
    assert loaded.speakers == ["anna", "bert", "carl", "anna+carl"]
    torch.testing.assert_close(table[3], (given[0] + given[2]) / 2)
