"""From a dataset to a trained voice."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from utils.config.train import TrainJob

if TYPE_CHECKING:
    from utils.training.checkpoints import TrainedVoice

# torch and Lightning take seconds, which --help must not wait for: they are imported where they are used


def train(job: TrainJob, *, after_validation: Callable[[Path], None] | None = None) -> Path:
    """Train or resume a run and return its folder; see utils.training.fit.

    Args:
        job: what is asked for.
        after_validation: is given the folder after each validation, and must return at once.
    Raises:
        ConfigError: if the configuration does not fit itself, the dataset or an existing run.
        StoppedBySignalError: if the run was asked to end and can be continued.
        TrainingError: if the training diverged.
    """
    from utils.training import fit

    return fit.train(job, after_validation)


def load_voice(
    run: Path,
    which: Literal["best", "last", "previous"] = "best",
    io_rate: int | None = None,
    *,
    trust: Collection[str] = (),
) -> "TrainedVoice":
    """Load a trained voice from its run folder to convert with it in PyTorch; see utils.training.checkpoints.

    Args:
        run: a folder made by train.py.
        which: "best" by validation, "last", or "previous", the one before.
        io_rate: rate of audio in and out, a multiple of 100; None means the model's own rate.
        trust: packages or classes that it may name besides those of this workbench.
    Raises:
        ConfigError: if the run or checkpoint is absent or its encoder is refused.
        FormatError: if a file is damaged, or names a class that is neither ours nor trusted.
    """
    from utils.training import checkpoints

    return checkpoints.load_voice(run, which, io_rate, for_export=False, trust=trust)
