"""The architectures of other programs train: two updates by their recipes reach every part, and the voice converts."""

from pathlib import Path

import pytest
import torch

from tests.tools.corpus_tools import make_job, write_sounds
from tests.tools.model_tools import small_model
from utils.audio.synthetic_speech import voice
from utils.config.train import train_job
from utils.corpus.pipeline import prepare_dataset
from utils.training.checkpoints import load_voice, read_checkpoint
from utils.training.fit import train

EXPERIMENTS = {
    "rvc_mrf_32k": ("audio=rvc_32k", "discriminator.periods=[2,3]"),
    "rvc_refinegan_24k": ("audio=rvc_24k", "discriminator.periods=[2]", "discriminator.resolutions=[[512,50,240]]"),
    "sovits_4_1": ("audio=sovits", "discriminator.periods=[2,3]", "model.use_volume=true"),
    "vits_vc": ("audio=vits", "discriminator.periods=[2,3]"),
    "sovits_4_0": ("audio=sovits", "discriminator.periods=[2,3]", "model.shares_flow=true"),
}


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_two_updates_change_every_part_and_the_voice_converts(experiment: str, tmp_path: Path) -> None:
    audio, *judges = EXPERIMENTS[experiment]
    pitches = {"anna": 190.0, "bert": 110.0}
    sounds = {
        f"{name}/{index}.wav": voice(1.2, seed=index, f0_hz=f0_hz)
        for name, f0_hz in pitches.items()
        for index in range(3)
    }
    write_sounds(tmp_path / "source", sounds)
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "datasets" / "tiny", audio))
    small = [item for item in small_model(experiment) if item.startswith("model.")]
    job = train_job(
        [
            f"experiment={experiment}", *small, "discriminator.channels=64", *judges,
            "dataset.name=tiny", f"dataset.root={tmp_path / 'datasets'}", f"run.root={tmp_path}", "run.name=run",
            "data.batch_size=2", "data.segment_frames=40", "data.val_segment_frames=60", "retrieval.codebook_size=0",
            "trainer.steps=2", "trainer.validate_every=2", "trainer.precision=32-true", "trainer.accelerator=cpu",
            "trainer.progress_bar=false", "trainer.media=false",
        ],
    )  # fmt: skip

    run = train(job)

    state = read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    assert int(state["steps_done"]) == 2
    assert all(bool(torch.isfinite(value).all()) for value in state.values())
    for name in ("generator.flow.flows.0.post.bias", "generator.flow.flows.6.post.bias"):  # zero at the start
        assert state[name].abs().max().item() > 0
    converter = load_voice(run).converter
    sound = torch.from_numpy(voice(0.3, converter.io_rate))[None]
    converted = converter(sound, *(torch.tensor(value) for value in (0.0, 0, 0.0, 0.33, 1.0)))
    assert converted.shape == sound.shape
