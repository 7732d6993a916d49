"""From a dataset to a trained voice."""

from pathlib import Path

from utils.config.train import TrainJob


def train(job: TrainJob) -> Path:
    """Train or resume a run and return its folder; see utils.training.fit.

    Raises:
        ConfigError: if the configuration does not fit itself, the dataset or an existing run.
        StoppedBySignalError: if the run was asked to end and can be continued.
        TrainingError: if the training diverged.
    """
    from utils.training import fit  # torch and Lightning take seconds, which --help must not wait for

    return fit.train(job)
