"""So-VITS-SVC from file to graph, and from a run to its files and back into training."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.golden_weights import fill_published
from tests.tools.model_tools import SMALL_RVC
from tests.tools.sovits_tools import small_sovits, sovits_config, sovits_files
from tests.tools.training_tools import make_two_speakers
from utils.config.export import export_job
from utils.config.train import train_job
from utils.errors import ConfigError
from utils.export import export
from utils.export.delivery import export_voice
from utils.export.plans import plan_export
from utils.export.rvc import imported_voice as imported
from utils.inference.session import VoiceSession
from utils.rvc.reading import read_foreign
from utils.training.fit import train
from utils.verification import rules

CONTENT = ("content=toy", "content.dim=768", "rvc.embedder=random")


def trained(folder: Path, *overrides: str) -> Path:
    """Return a run of one step on content of 768 values of two speakers, which is prepared once."""
    make_two_speakers(folder, 44100, "audio=sovits", "content.dim=768")
    return train(
        train_job(
            [
                "experiment=sovits_4_1", "dataset.name=two", f"dataset.root={folder / 'datasets'}", *SMALL_RVC,
                f"run.root={folder / 'runs'}", "discriminator.channels=64", "trainer.steps=1",
                "trainer.validate_every=1", "trainer.progress_bar=false", "trainer.media=false",
                "trainer.precision=32-true", "trainer.accelerator=cpu", "data.batch_size=2", "data.segment_frames=60",
                "retrieval.codebook_size=0", *overrides,
            ]
        )
    )  # fmt: skip


@pytest.mark.slow
def test_an_imported_voice_becomes_a_verified_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # some rules judge a voice's sound, and these weights are random
    without = ("voclo, ", "latency", "not the dry signal", "pause after speech", "full-scale square")
    monkeypatch.setattr(rules, "RULES", [rule for rule in rules.RULES if not rule.name.startswith(without)])
    published = imported.voice_config

    def shrunk(file: Any) -> dict[str, Any]:
        config = published(file)
        return {**config, "model": config["model"] | {"posterior_layers": 2, "training_frames": 12}}

    monkeypatch.setattr(imported, "voice_config", shrunk)
    network = fill_published(small_sovits())  # fresh weights hardly let a small voice hear pitch and speaker
    with torch.no_grad():  # random weights predict a pitch that moves by -47 dB with the last bit of a sample
        for place, weight in network.named_parameters():
            weight.mul_(0.7 if place.startswith("f0_decoder.") else 1.0)
    path = sovits_files(tmp_path, network, sovits_config(network))

    outcome = export_voice(plan_export(export_job([f"voice={path}", *CONTENT, f"export.root={tmp_path / 'out'}"])))

    assert outcome.failures == []
    name = next(item for item in outcome.folder.iterdir() if item.suffix == ".onnx")
    metadata = VoiceSession.open(name).metadata
    assert metadata is not None and metadata.model_rate == 44100
    assert metadata.extra["imported"]["program"] == "sovits"
    assert any("parameters matched; 0 missing; 0 unexpected; 0 different" in note for note in outcome.origin)


@pytest.mark.slow
def test_a_run_is_written_as_a_pair_that_training_goes_on_from(tmp_path: Path) -> None:
    run = trained(tmp_path, "run.name=first", "model.shares_flow=true", "model.use_volume=true")

    outcome = export(export_job([f"run={run}", "export=rvc_checkpoint", f"export.root={tmp_path}", "checkpoint=last"]))

    pair = {name: outcome.folder / f"{name}_1.pth" for name in "GD"}
    generator = read_foreign(pair["G"])
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert (generator.bins, generator.speakers, generator.embedder) == ("4.1", ("ann", "bob"), "random")
    for name, value in generator.weights.items():
        assert torch.equal(value, state[f"generator.{name}"]), name
    content = torch.load(pair["G"], weights_only=True)
    assert content.keys() == {"model", "iteration", "optimizer", "learning_rate"}
    restored = torch.optim.AdamW(small_sovits("model.shares_flow=true", "model.use_volume=true").parameters())
    restored.load_state_dict(content["optimizer"])
    assert len(restored.state_dict()["state"]) == len(content["optimizer"]["param_groups"][0]["params"])
    config = json.loads((outcome.folder / "config.json").read_text(encoding="utf-8"))
    assert (config["model"]["ssl_dim"], config["model"]["speech_encoder"]) == (768, "vec768l12")
    assert config["spk"] == {"ann": 0, "bob": 1} and config["model"]["flow_share_parameter"] is True

    again = trained(
        tmp_path, "run.name=second", "model.shares_flow=true", "model.use_volume=true",
        f"pretrained.generator={pair['G']}", f"pretrained.discriminator={pair['D']}", "optim.optimizer.lr=1e-12",
    )  # fmt: skip
    after = torch.load(again / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(after["generator.pre.weight"], state["generator.pre.weight"], atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_a_pair_of_other_options_is_refused(tmp_path: Path) -> None:
    network = small_sovits("model.is_separable=true")
    path = sovits_files(tmp_path, network)

    with pytest.raises(ConfigError, match="does not fit this model") as caught:
        trained(tmp_path, "run.name=other", f"pretrained.generator={path}", "pretrained.discriminator=null")

    assert "\n" not in str(caught.value)
