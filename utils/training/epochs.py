"""Lengths in epochs, as users of other programs type them and as starts bring them, in steps."""

from utils.config.train import TrainJob
from utils.console import emit
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.training.assembly import steps_per_epoch
from utils.training.devices import is_first_process


def with_epochs_as_steps(job: TrainJob, store: CorpusStore) -> TrainJob:
    """Return the job with trainer.steps and trainer.save_every where it has them in epochs, and say what they are.

    An epoch is as many updates as pass the training clips once, in batches of data.batch_size.

    Raises:
        ConfigError: if somebody typed a length in both units.
    """
    settings = job.trainer
    lengths = (
        ("trainer.epochs", settings.epochs, "trainer.steps"),
        ("trainer.save_every_epochs", settings.save_every_epochs, "trainer.save_every"),
    )
    asked = [(key, epochs, in_steps) for key, epochs, in_steps in lengths if epochs is not None]
    if not asked:
        return job
    both = next(((key, in_steps) for key, _, in_steps in asked if in_steps in job.given), None)
    if both is not None:
        raise ConfigError(f"{both[0]} and {both[1]} are the same length in two units; give one of them")
    steps = steps_per_epoch(job, store)
    if is_first_process():
        said = ", ".join(f"{key}={epochs} is {in_steps}={epochs * steps}" for key, epochs, in_steps in asked)
        emit(f"an epoch of this dataset is {steps} steps with data.batch_size={job.data.batch_size}: {said}")
    values = {in_steps: epochs * steps for _, epochs, in_steps in asked}
    return job.with_values(values | {key: None for key, _, _ in asked})


def with_early_validations(job: TrainJob, store: CorpusStore) -> TrainJob:
    """Return the job with validations after pretrained.validate_epochs passes where that is sooner, and say so.

    The fewer the recordings, the sooner a voice is at its best: later validations would keep a worse one.
    """
    epochs = job.pretrained.validate_epochs
    steps = epochs * steps_per_epoch(job, store)
    if not epochs or "trainer.validate_every" in job.given or steps >= job.trainer.validate_every:
        return job
    if is_first_process():
        emit(f"the recordings are passed {epochs} times in {steps} steps: trainer.validate_every={steps}")
    return job.with_values({"trainer.validate_every": steps})
