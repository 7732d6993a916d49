"""Continue a run: from which checkpoint, and whether it is still the same run."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.config import from_yaml, select
from utils.config.train import TrainJob
from utils.corpus.description import DatasetDescription
from utils.errors import ConfigError, FormatError
from utils.training.checkpoint_checks import PAYLOAD_KEY
from utils.training.checkpoint_files import LAST, PREVIOUS
from utils.training.checkpoints import read_checkpoint
from utils.training.devices import choose_precision, first_device, num_processes

AUTO = "auto"
DECISIVE = ("seed", "audio", "model", "discriminator", "optim", "loss", "data", "augmentation", "retrieval")
FREE = ("data.num_workers", "data.pin_memory", "data.device_cache")
ROUNDING = "sums are taken in another order: results differ by rounding"
HELD_OUT_CHANGED = (
    "held-out figures no longer compare with earlier ones: what is best and when to stop follows from new ones alone"
)
# settings that older runs do not name, and what they had
ADDED = {
    "model.expansion": 3,
    "model.closed_ends": False,
    "data.repeat_batch": False,
    "data.block_share": 0.0,
    "data.block_lengths": [10],
    "loss.longest_window": 2048,
}
# what a start brings beside its weights, and what runs had that do not name it
STARTED = {
    "batch_size": 12,
    "learning_rate": 8.0e-4,
    "half_life_steps": 5000,
    "validate_every": 500,
    "validate_epochs": 0,
}
LOSSES = {
    "processes": ROUNDING,
    "optim.accumulate": ROUNDING,
    "trainer.accelerator": ROUNDING,
    "trainer.channels_last": ROUNDING,
    "trainer.compile": ROUNDING,
    "trainer.fit_memory": ROUNDING,
    "trainer.precision": "results differ by rounding",
    "data.val_segment_frames": HELD_OUT_CHANGED,
    "data.batch_size": "examples are drawn in another order: some are seen again sooner",
    "seed": "examples, noise and codebook are drawn anew",
    "retrieval.codebook_size": "the codebook is made anew",
    "dataset": f"examples and codebook are other ones, and {HELD_OUT_CHANGED}",
}


@dataclass(frozen=True)
class ResumedCheckpoint:
    """The checkpoint that a run continues.

    Attributes:
        path: of the file.
        content: as read_checkpoint returns it.
    """

    path: Path
    content: dict[str, Any]


def find_checkpoint(job: TrainJob, run: Path) -> ResumedCheckpoint | None:
    """Read the checkpoint to continue from; None for a new run, which never overwrites another one unasked.

    Raises:
        ConfigError: if the run exists and resume is not given, or the checkpoint does not exist.
        FormatError: if it is damaged; names the one before it, from which only resume=previous continues.
    """
    path = _path_to_resume(job, run)
    return None if path is None else ResumedCheckpoint(path, _read(path))


def _path_to_resume(job: TrainJob, run: Path) -> Path | None:
    checkpoints = run / "checkpoints"
    has_any = checkpoints.is_dir() and any(checkpoints.glob("*.ckpt"))
    if job.resume is None:
        if has_any and not job.run.replace:  # the first process has removed a run that may be replaced
            words = f"{run} already holds a trained run"
            raise ConfigError(f"{words}; type resume=last to continue it or run.name=<new name>")
        return None
    if job.resume == AUTO and not has_any:
        return None
    name = LAST if job.resume == AUTO else job.resume
    path = checkpoints / f"{name}.ckpt" if "/" not in name else Path(name)
    if not path.is_file():
        words = f"resume={job.resume}: {path} does not exist"
        raise ConfigError(f"{words}; allowed: auto, last, previous, best or a path of a checkpoint")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_checkpoint(path)
    except FormatError as error:
        earlier = path.with_stem(PREVIOUS)
        if path.stem != LAST or not earlier.is_file():
            raise
        raise FormatError(f"{error}; resume=previous continues from the state before it") from error


def describe_run(job: TrainJob, dataset: DatasetDescription) -> dict[str, Any]:
    """Return everything that decides a run's numbers, as flat plain data."""
    plain = job.to_plain()
    decisive = _flat({key: plain[key] for key in DECISIVE if key in plain})
    kept = {key: value for key, value in decisive.items() if key not in FREE}
    return kept | {
        "trainer.precision": choose_precision(job),
        "trainer.accelerator": first_device(job).type,
        **{f"trainer.{key}": plain["trainer"][key] for key in ("channels_last", "compile", "fit_memory")},
        "processes": num_processes(job),
        "dataset": dataset.training_hash[:12],
    }


def with_settings_of_start(content: dict[str, Any], job: TrainJob) -> TrainJob:
    """Return the job with the settings that came with the run's first weights; keys that were typed win.

    Args:
        content: of the checkpoint.
        job: the training that goes on.
    Raises:
        FormatError: if they are damaged.
    """
    began = select(from_yaml(content[PAYLOAD_KEY]["config"], "the configuration in the checkpoint"), "pretrained", {})
    began = began if isinstance(began, dict) else {}
    values = {f"pretrained.{key}": began.get(key, of_older_runs) for key, of_older_runs in STARTED.items()}
    wrong = next((key for key, value in values.items() if type(value) not in (int, float)), None)
    if wrong is not None:
        raise FormatError(f"the configuration in the checkpoint is damaged: {wrong} is no number; get the file again")
    return job.with_values({key: value for key, value in values.items() if key not in job.given})


def require_same_run(content: dict[str, Any], path: Path, job: TrainJob, dataset: DatasetDescription) -> str:
    """Check that the run goes on as it began; with resume_changed=true return a line that says what is lost.

    Raises:
        ConfigError: if something differs that decides the numbers and resume_changed is not set.
    """
    before = content[PAYLOAD_KEY].get("decisive")
    if before is None:
        words = f"{path} is of an older version, which did not note all settings that decide the numbers"
        if not job.resume_changed:
            raise ConfigError(f"resume: {words}; type resume_changed=true to go on all the same")
        return f"{words}: whether the run goes on as it began is not known"
    different = differing_keys(content, job, dataset)
    if not different:
        return ""
    now = describe_run(job, dataset)
    before = ADDED | before
    differences = ", ".join(
        f"{_short(key)} {_short(before.get(key))} -> {_short(now.get(key))}" for key in different[:6]
    )
    differences += f" and {len(different) - 6} more" if len(different) > 6 else ""
    lost = sorted({_loss_of(key) for key in different})
    if not job.resume_changed:
        raise ConfigError(
            f"resume: {path} belongs to a run with other settings ({differences}); with them it cannot go on as if "
            f"never interrupted ({'; '.join(lost)}); restore them, or type resume_changed=true to go on all the same"
        )
    return f"resumed with other settings ({differences}): {'; '.join(lost)}"


def differing_keys(content: dict[str, Any], job: TrainJob, dataset: DatasetDescription) -> list[str]:
    """Return the keys that decide the numbers and differ from those of a checkpoint; none where it does not say."""
    before = content[PAYLOAD_KEY].get("decisive")
    if before is None:
        return []
    now = describe_run(job, dataset)
    before = {key: value for key, value in ADDED.items() if key in now} | before
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))


def held_out_changed(different: Iterable[str]) -> bool:
    """Return whether held-out figures do not compare with those from before such keys changed."""
    return any(HELD_OUT_CHANGED in _loss_of(key) for key in different)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for key, item in value.items():
            found |= _flat(item, f"{prefix}.{key}" if prefix else str(key))
        return found
    return {prefix: value}


def _loss_of(key: str) -> str:
    return LOSSES.get(key, HELD_OUT_CHANGED if key.startswith("audio.") else "the run goes on as another one would")


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= 40 else text[:37] + "..."
