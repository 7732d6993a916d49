"""What is refused before anything of a run is written."""

import logging
from pathlib import Path

from utils.audio.listing import list_audio
from utils.config import required
from utils.config.train import TrainJob
from utils.console import pasted
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.training.assembly import learning_rate_factor
from utils.training.devices import first_device, is_first_process, num_processes

HINT = "python train.py dataset.name=<name>   (made by python preprocess.py)"
log = logging.getLogger(__name__)


def open_dataset(job: TrainJob) -> CorpusStore:
    """Open the prepared dataset and check that the audio group is the one it was made with."""
    name = required("dataset.name", job.dataset.name, HINT)
    folder = Path(job.dataset.root) / name
    if not (folder / "dataset.json").is_file():
        known = sorted(path.parent.name for path in Path(job.dataset.root).glob("*/dataset.json"))
        raise ConfigError(
            f"dataset.name={name} is not prepared ({folder} has no dataset.json); known: {', '.join(known) or 'none'}; "
            f"type: python preprocess.py dataset.source=<folder> {pasted(f'dataset.name={name}')}"
        )
    store = CorpusStore.open(folder)
    audio = job.audio
    if store.audio != audio:
        raise ConfigError(
            f"audio.sample_rate={audio.sample_rate}, n_fft={audio.n_fft} differ from dataset {name} "
            f"({store.audio.sample_rate}, {store.audio.n_fft}); choose the audio group that it was prepared with"
        )
    return store


def check_machine(job: TrainJob) -> None:
    """Refuse what this machine or the classes of the groups cannot do, before anything is written."""
    learning_rate_factor(job)
    if job.data.batch_size % num_processes(job):
        raise ConfigError(
            f"data.batch_size={job.data.batch_size} clips of one update cannot be shared equally by "
            f"{num_processes(job)} processes (trainer.devices x trainer.num_nodes); choose a multiple"
        )
    if first_device(job).type == "mps" and job.trainer.precision not in ("auto", "32-true"):
        raise ConfigError(
            f"trainer.precision={job.trainer.precision} cannot be used on Apple's GPU (trainer.accelerator="
            f"{job.trainer.accelerator}), which trains in 32 bits; set trainer.precision=auto"
        )
    if job.data.pin_memory and first_device(job).type != "cuda":
        raise ConfigError("data.pin_memory=true needs a GPU, and this training uses none; leave data.pin_memory=null")


def check_evaluation(job: TrainJob, store: CorpusStore) -> None:
    """Refuse an evaluation that could not judge anything.

    Raises:
        ConfigError: if the speaker is none of the dataset, or there is nothing to convert.
        DataError: if evaluation.sources holds no recordings.
    """
    settings = job.evaluation
    if settings.mode == "off":
        return
    speaker = chosen_speaker(store, settings.speaker)
    if settings.sources is not None:
        if not settings.sources.is_dir():
            raise ConfigError(f"evaluation.sources={settings.sources} is no folder; give one of recordings of others")
        list_audio(settings.sources)
    elif not any(clip.speaker == speaker for clip in store.split("val")):
        words = f"evaluation={settings.mode} has nothing to convert, as nothing of {speaker} is held out"
        raise ConfigError(f"{words}; give evaluation.sources=<folder>, or set evaluation=off")


def chosen_speaker(store: CorpusStore, wanted: str | int) -> str:
    """Return the name of the speaker that evaluation.speaker names.

    Raises:
        ConfigError: if the dataset has none of that name or number.
    """
    if isinstance(wanted, int) and 0 <= wanted < len(store.speakers):
        return store.speakers[wanted]
    if wanted in store.speakers:
        return str(wanted)
    raise ConfigError(f"evaluation.speaker={wanted} is no speaker; allowed: {', '.join(store.speakers)}, or a number")


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
