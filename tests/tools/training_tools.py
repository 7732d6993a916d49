"""A small prepared dataset and the configuration of a fast training on it."""

from pathlib import Path

from tests.tools.corpus_tools import make_job, write_sounds
from utils.audio.synthetic_speech import voice
from utils.config.train import TrainJob, train_job
from utils.corpus.pipeline import prepare_dataset

FAST = [
    "audio=16k",
    "model=toy",
    "data.batch_size=2",
    "data.segment_frames=30",
    "data.val_segment_frames=60",
    "retrieval.codebook_size=16",
    "optim.warmup_steps=1",
    "trainer.precision=32-true",
    "trainer.accelerator=cpu",
    "trainer.progress_bar=false",
    "trainer.media=false",
]


def make_dataset(root: Path, first_seed: int = 0) -> Path:
    """Prepare six seconds of two speakers as the dataset "tiny"; returns the folder of datasets. Others by the seed."""
    sounds = {
        f"{speaker}/{index}.wav": voice(1.2, seed=first_seed + index, f0_hz=f0_hz)
        for speaker, f0_hz in (("anna", 190.0), ("bert", 110.0))
        for index in range(3)
    }
    write_sounds(root / "source", sounds)
    prepare_dataset(make_job(root / "source", root / "datasets" / "tiny"))
    return root / "datasets"


def make_two_speakers(folder: Path, rate: int, *overrides: str, seconds: float = 2.0) -> None:
    """Prepare two recordings each of ann and bob as <folder>/datasets/two, once."""
    if (folder / "datasets").exists():
        return
    sounds = {
        f"{name}/{index}.wav": voice(seconds, rate, f0_hz=f0_hz, seed=index)
        for name, f0_hz in (("ann", 220.0), ("bob", 110.0))
        for index in range(2)
    }
    write_sounds(folder / "recordings", sounds, rate)
    prepare_dataset(make_job(folder / "recordings", folder / "datasets" / "two", *overrides))


def arguments(datasets: Path, runs: Path, name: str, steps: int, *overrides: str) -> list[str]:
    """Return the command line of a run of `steps` steps, validated at its end unless overridden."""
    small = [] if "discriminator=none" in overrides else ["discriminator.windows=[128,256]", "discriminator.channels=2"]
    paths = ["dataset.name=tiny", f"dataset.root={datasets}", f"run.root={runs}", f"run.name={name}"]
    return [*paths, *FAST, *small, f"trainer.steps={steps}", f"trainer.validate_every={steps}", *overrides]


def training(datasets: Path, runs: Path, name: str, steps: int, *overrides: str) -> TrainJob:
    """Return the job of such a run."""
    return train_job(arguments(datasets, runs, name, steps, *overrides))
