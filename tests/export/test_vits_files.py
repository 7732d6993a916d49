"""A run of VITS is written as the files of its program, read again, and trained on from."""

import json
from pathlib import Path

import pytest
import torch

from tests.tools.model_tools import small_model
from tests.tools.training_tools import make_two_speakers
from utils.config.export import export_job
from utils.config.train import train_job
from utils.errors import ConfigError
from utils.export import export
from utils.export.rvc.imported_voice import load_imported_network
from utils.training.fit import train


def trained(folder: Path, *overrides: str) -> Path:
    """Return a run of one step of two speakers, whose dataset is prepared once."""
    make_two_speakers(folder, 44100, "audio=vits", seconds=1.2)
    small = [item for item in small_model("vits_vc") if item.startswith("model.")]
    return train(
        train_job(
            [
                "experiment=vits_vc", *small, "discriminator.channels=64", "discriminator.periods=[2,3,5,7,11]",
                "dataset.name=two", f"dataset.root={folder / 'datasets'}", f"run.root={folder / 'runs'}",
                "data.batch_size=2", "data.segment_frames=40", "data.val_segment_frames=60", "trainer.steps=1",
                "trainer.validate_every=1", "trainer.precision=32-true", "trainer.accelerator=cpu",
                "trainer.progress_bar=false", "trainer.media=false", *overrides,
            ]
        )
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_is_written_read_again_and_trained_on_from(tmp_path: Path) -> None:
    run = trained(tmp_path, "run.name=first", "model.posterior_layers=16")

    outcome = export(export_job([f"run={run}", "export=rvc_checkpoint", f"export.root={tmp_path}", "checkpoint=last"]))

    pair = {name: outcome.folder / f"{name}_1.pth" for name in "GD"}
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    again = load_imported_network(pair["G"])
    assert again.speakers == ["ann", "bob"]
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, state[f"generator.{name}"]), name
    content = {name: torch.load(path, weights_only=True) for name, path in pair.items()}
    assert all(item.keys() == {"model", "iteration", "optimizer", "learning_rate"} for item in content.values())
    assert len(content["D"]["optimizer"]["state"]) == len(content["D"]["model"])
    config = json.loads((outcome.folder / "config.json").read_text(encoding="utf-8"))
    assert (config["data"]["n_speakers"], config["data"]["filter_length"]) == (2, 1024)
    assert config["model"]["upsample_initial_channel"] == 64 and config["speakers"] == ["ann", "bob"]

    given = (f"pretrained.generator={pair['G']}", f"pretrained.discriminator={pair['D']}", "optim.optimizer.lr=1e-12")
    further = trained(tmp_path, "run.name=second", "model.posterior_layers=16", *given)
    after = torch.load(further / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(after["generator.emb_g.weight"], state["generator.emb_g.weight"], atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_a_depth_that_its_program_does_not_build_is_refused(tmp_path: Path) -> None:
    run = trained(tmp_path, "run.name=flat")

    with pytest.raises(ConfigError, match=r"model\.posterior_layers=2, VITS always 16") as caught:
        export(export_job([f"run={run}", "export=rvc_checkpoint", f"export.root={tmp_path}", "checkpoint=last"]))

    assert "\n" not in str(caught.value)
