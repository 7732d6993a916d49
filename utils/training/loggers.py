"""Where the figures of a run go: TensorBoard and metrics.csv always, a service as well where the configuration says."""

from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as lightning
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from utils.config.train import TrainJob
from utils.errors import ConfigError
from utils.files import atomic_write_text
from utils.training.csv_logger import CsvLogger

TRACKING_FILE = "tracking.txt"  # the identity of this run at a service, so that a resumed run goes on there


@dataclass(frozen=True)
class Service:
    """How Lightning's logger of a service gets the name and the identity of a run.

    Attributes:
        package: to install.
        name: argument that takes the run's name.
        identity: argument that takes the identity of a run to be continued, and attribute that has it.
    """

    package: str
    name: str
    identity: str


SERVICES = {
    "WandbLogger": Service("wandb", "name", "id"),
    "MLFlowLogger": Service("mlflow", "run_name", "run_id"),
}


def build_loggers(job: TrainJob, run: Path) -> list[Logger]:
    """Return the loggers of a run, TensorBoard's first.

    Raises:
        ConfigError: if a service's package is not installed.
    """
    loggers: list[Logger] = [
        TensorBoardLogger(save_dir=str(run), name="tensorboard", version="", default_hp_metric=False),
        CsvLogger(run / "metrics.csv"),
    ]
    if job.logger:
        loggers.append(_service_logger(job, run))
    return loggers


def remember_tracking(loggers: list[Logger], run: Path) -> None:
    """Write down the identity of this run at its service, if it has one."""
    for logger in loggers:
        service = SERVICES.get(type(logger).__name__)
        identity = service and (getattr(logger, service.identity, None) or logger.version)
        if identity:
            atomic_write_text(run / TRACKING_FILE, f"{identity}\n")


def log_everywhere(trainer: lightning.Trainer, values: dict[str, float], step: int) -> None:
    """Give figures of a step to every logger."""
    for logger in trainer.loggers:
        logger.log_metrics(values, step)


def _service_logger(job: TrainJob, run: Path) -> Logger:
    name = str(job.logger.target).rpartition(".")[2]
    if name not in SERVICES:
        raise ConfigError(f"logger._target_={job.logger.target} is unknown; allowed: {', '.join(SERVICES)}")
    service, known = SERVICES[name], run / TRACKING_FILE
    values = {service.name: run.name, "save_dir": str(run / service.package)}
    if job.resume is not None and known.is_file():
        values[service.identity] = known.read_text(encoding="utf-8").strip()
        values |= {"resume": "allow"} if name == "WandbLogger" else {}
    try:
        logger: Logger = job.logger.build(**values)
    except ConfigError as error:
        cause = error.__cause__.__cause__ if error.__cause__ else None
        if not isinstance(cause, ModuleNotFoundError):
            raise
        raise ConfigError(
            f"logger={service.package} needs the package {service.package}; type: pip install {service.package} "
            "(TensorBoard and metrics.csv are written without it)"
        ) from error
    return logger
