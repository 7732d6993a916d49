"""Train a voice: check the configuration, run or resume the training, say how it went."""

import json
import logging
import math
import os
import time
import warnings
from pathlib import Path

import pytorch_lightning as lightning

from models.adversarial import AdversarialTraining
from utils.audio.frames import FRAME_RATE
from utils.config import required
from utils.config.environment import run_suffix
from utils.config.train import TrainJob
from utils.console import emit, table
from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, StoppedBySignalError
from utils.files import atomic_write_json, atomic_write_text
from utils.training.assembly import (
    best_from_step,
    build_data,
    build_trainer,
    build_training,
    build_watch,
    learning_rate_factor,
    renew_codebook,
)
from utils.training.callbacks.checkpointing import BestAndLastCheckpoint
from utils.training.callbacks.history import HistoryRecorder
from utils.training.callbacks.nonfinite import NonFiniteGuard
from utils.training.callbacks.run_payload import RunPayload
from utils.training.checkpoints import (
    require_same_networks,
)
from utils.training.criterion import is_best
from utils.training.devices import (
    choose_precision,
    first_device,
    is_first_process,
    num_processes,
)
from utils.training.optimizers import require_same_optimizers
from utils.training.pretrained import pretrained_files
from utils.training.probe import probe, report_probe
from utils.training.resuming import (
    differing_keys,
    find_resume,
    held_out_changed,
    keep_start,
    read_resumed,
    require_same_run,
)
from utils.training.run_lock import lock_run
from utils.training.signals import stopped_by_signals

log = logging.getLogger(__name__)
HINT = "python train.py dataset.name=<name>   (made by python preprocess.py)"


@stopped_by_signals()
def train(job: TrainJob) -> Path:
    """Train or resume a run and return its folder.

    Raises:
        ConfigError: if the configuration does not fit itself, the dataset or an existing run, or another train.py
            trains this run.
        StoppedBySignalError: if the run was asked to end and can be continued.
        TrainingError: if the training diverged.
    """
    store = open_dataset(job)
    run = run_folder(job)
    with lock_run(run):
        _train(job, store, run)
    return run


def _train(job: TrainJob, store: CorpusStore, run: Path) -> None:
    resume_from = find_resume(job, run)
    content = read_resumed(resume_from) if resume_from is not None else None
    if content is not None:
        job = keep_start(content, job)
    check_for_machine(job)
    build_data(job, store).train_examples()  # refuses what does not fit the dataset before anything is written
    check_perturbed_copies(job, store, is_new=content is None)
    watch = build_watch(job.overtraining)
    quieten_lightning()
    lightning.seed_everything(job.seed, workers=True, verbose=False)
    history = HistoryRecorder()
    data = build_data(job, store)
    guard = NonFiniteGuard(run, max_skipped=job.trainer.max_skipped, name_clips=data.name_segments)
    checkpointing = BestAndLastCheckpoint(
        run / "checkpoints", save_every=job.trainer.save_every, resumed_from=resume_from,
        best_from_step=best_from_step(job),
    )  # fmt: skip
    payload = RunPayload(job, store.description, pretrained_files(job) if resume_from is None else None)
    trainer = build_trainer(job, run, [history, *watch, payload, guard], checkpointing)
    module = build_training(job, store, run, fresh=resume_from is None)
    if resume_from is not None and content is not None:
        require_same_networks(content, resume_from, module.state_dict(), store.description)
        networks = [network for network in (module.generator, module.discriminator) if network is not None]
        require_same_optimizers(content, resume_from, module.make_optimizer, networks)
        note = require_same_run(content, resume_from, job, store.description)
        if note and is_first_process():
            log.warning("%s", note)
        payload.held_out_changed = held_out_changed(differing_keys(content, job, store.description))
        data.start_step = int(content["state_dict"]["steps_done"])
        del content  # the trainer reads the file again, and RVC's has 1.5 GB
    if job.trainer.probe:
        probe_only(job, module, data)
        return
    if resume_from is not None and job.resume_changed:
        renew_codebook(job, store, run, module)
    if is_first_process():
        atomic_write_text(run / "config.yaml", job.to_yaml())
        announce(job, store, module, run, resume_from)
    started = time.monotonic()
    try:
        trainer.fit(module, data, ckpt_path=str(resume_from) if resume_from else None, weights_only=True)
    except StoppedBySignalError:
        if is_first_process():
            raise
        return  # the first process speaks for all, and a launcher that sees another one fail would kill it
    if is_first_process():
        report(run, history, module, time.monotonic() - started, best_from_step=best_from_step(job))


def open_dataset(job: TrainJob) -> CorpusStore:
    """Open the prepared dataset and check that the audio group is the one it was made with."""
    name = required("dataset.name", job.dataset.name, HINT)
    folder = Path(job.dataset.root) / name
    if not (folder / "dataset.json").is_file():
        known = sorted(path.parent.name for path in Path(job.dataset.root).glob("*/dataset.json"))
        raise ConfigError(
            f"dataset.name={name} is not prepared ({folder} has no dataset.json); known: {', '.join(known) or 'none'}; "
            f"type: python preprocess.py dataset.source=<folder> dataset.name={name}"
        )
    store = CorpusStore.open(folder)
    audio = job.audio
    if store.audio != audio:
        raise ConfigError(
            f"audio.sample_rate={audio.sample_rate}, n_fft={audio.n_fft} differ from dataset {name} "
            f"({store.audio.sample_rate}, {store.audio.n_fft}); choose the audio group that it was prepared with"
        )
    return store


def check_for_machine(job: TrainJob) -> None:
    """Refuse what this machine or the classes of the groups cannot do, before anything is written."""
    learning_rate_factor(job)
    if job.data.batch_size % num_processes(job):
        raise ConfigError(
            f"data.batch_size={job.data.batch_size} clips of one update cannot be shared equally by "
            f"{num_processes(job)} processes (trainer.devices x trainer.num_nodes); choose a multiple"
        )


def check_perturbed_copies(job: TrainJob, store: CorpusStore, *, is_new: bool) -> None:
    """Say that a share of perturbed content does nothing on a dataset without such copies.

    Raises:
        ConfigError: if a new run was asked for it; the default and a run that began so go on with a warning.
    """
    share = job.data.perturbed_share
    if not share or store.num_copies("perturbed"):
        return
    words = (
        f"data.perturbed_share={share:g} does nothing: {store.path} has no content taken from copies with another "
        "vocal tract; run preprocess.py again with preprocess.content_speeds=[0.84,1.19], or set data.perturbed_share=0"
    )
    if is_new and "data.perturbed_share" in job.given:
        raise ConfigError(words)
    if is_first_process():
        log.warning("%s", words)


def run_folder(job: TrainJob) -> Path:
    """Return the folder of the run; a run of a sweep gets its number and its values."""
    name = job.run.name or f"{job.dataset.name}_{str(job.model.target).rsplit('.', 1)[-1].lower()}"
    return Path(job.run.root) / f"{name}{run_suffix()}"


def best_held_out(run: Path) -> float | None:
    """Return val/mel of a finished run's best.ckpt; None where there is none, or another process writes it (report)."""
    path = run / "metrics.json"
    best = json.loads(path.read_text("utf-8"))["best"] if path.is_file() else None
    return float(best["val/mel"]) if best is not None else None


def probe_only(job: TrainJob, module: AdversarialTraining, data: VoiceDataModule) -> None:
    """Measure what sizes of micro-batches need instead of training."""
    device = first_device(job)
    whole = next(iter(data.train_dataloader()))
    share = whole.part(slice(0, len(whole.audio) // num_processes(job)))  # what each device gets of a batch
    report_probe(probe(module, share, device), device)


def announce(job: TrainJob, store: CorpusStore, module: AdversarialTraining, run: Path, resume: Path | None) -> None:
    """Say what will be trained and where to watch it."""
    networks = {"generator": module.generator, "discriminator": module.discriminator}
    millions = {name: sum(p.numel() for p in net.parameters()) / 1e6 for name, net in networks.items() if net}
    counts = ", ".join(f"{name} {count:.2f} M" for name, count in millions.items())
    minutes = sum(clip.num_frames for clip in store.split("train")) / (60 * FRAME_RATE)
    emit(
        f"{'resuming' if resume else 'training'} {run}: {minutes:.1f} minutes of {len(store.speakers)} speaker(s); "
        f"{counts} parameters; precision {choose_precision(job)}"
    )
    emit(f"watch it with: tensorboard --logdir {run}")


def report(
    run: Path, history: HistoryRecorder, module: AdversarialTraining, seconds: float, *, best_from_step: int
) -> None:
    """Write metrics.json and print how the held-out loss went; the best is one from `best_from_step` on, if there is.

    What is not a number is null there, as is what does not exist: a resumed run may have nothing more to do.
    """
    rows = [row for row in history.rows if row["step"] > history.since]
    finite = [row for row in rows if math.isfinite(row["val/mel"])]
    counted = [row for row in finite if row["step"] >= best_from_step] or finite
    lowest = min((row["val/mel"] for row in counted), default=math.inf)
    best = [row for row in counted if is_best(row["val/mel"], lowest)]
    marked = {"first": rows[:1], "best": best[-1:], "last": rows[-1:]}
    summary = {
        "steps": module.steps,
        "skipped": module.skipped,
        "seconds": round(seconds, 1),
        **{label: _plain(found[0]) if found else None for label, found in marked.items()},
        "history": [_plain(row) for row in history.rows],
    }
    atomic_write_json(run / "metrics.json", summary)
    shown = [[label, int(row["step"]), row["val/mel"]] for label, found in marked.items() for row in found]
    emit(table(shown, ["held-out", "step", "val/mel"]) if shown else "no held-out figure yet")
    emit(f"{module.steps} steps in {seconds:.0f} s; checkpoints in {run / 'checkpoints'}")
    if module.skipped:
        emit(f"{module.skipped} of the updates were skipped, as their gradients were not finite")
    emit(f"next: python export_onnx.py run={run}")


def quieten_lightning() -> None:
    """Silence Lightning's advertising and its advice that does not apply; warnings of our own stay."""
    for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if "SLURM_JOB_ID" not in os.environ:
        warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*pkg_resources is deprecated.*")


def _plain(row: dict[str, float]) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in row.items()}
