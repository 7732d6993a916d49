"""The dataset that a run was trained on: its index is built from it, and excerpts of it are tried in verification."""

from pathlib import Path

import numpy as np
import soxr

from utils.corpus.description import FeatureDescription
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, ExportError
from utils.export.plans import ExportPlan
from utils.training.checkpoints import TrainedVoice

EXCERPT_SECONDS = 3.0
NUM_EXCERPTS = 2


def open_training_data(plan: ExportPlan, voice: TrainedVoice) -> CorpusStore:
    """Open the dataset of a run and check that its features are those the voice was trained on.

    Raises:
        ConfigError: if it is not there.
        ExportError: if it was prepared with another encoder, or holds other speakers or clips.
    """
    trained = voice.config["dataset"]
    folder = plan.dataset or Path(str(trained["root"])) / str(trained["name"])
    if not (folder / "dataset.json").is_file():
        raise ConfigError(f"the run's dataset is not at {folder}; give its place with dataset=<folder>")
    store = CorpusStore.open(folder)
    ours, theirs = voice.dataset.content, store.description.content
    if ours.identity != theirs.identity or ours.fingerprint != theirs.fingerprint:
        raise ExportError(
            f"dataset {folder} was prepared with other content features ({_short(theirs)}) than run {plan.run} was "
            f"trained on ({_short(ours)}); prepare it again as before, or train again"
        )
    if store.speakers != voice.speakers:
        raise ExportError(
            f"dataset {folder} has the speakers {store.speakers}, the run {plan.run} has {voice.speakers}; "
            "give the dataset of the run with dataset=<folder>, or train again"
        )
    if store.description.files["manifest"] != voice.dataset.files["manifest"]:
        raise ExportError(
            f"dataset {folder} holds other clips ({store.fingerprint[:12]}) than run {plan.run} was trained on "
            f"({voice.dataset.fingerprint[:12]}), so that the index would not be of this voice; give the "
            "dataset of the run with dataset=<folder>, prepare its recordings again, or train again"
        )
    return store


def excerpts(store: CorpusStore | None, rate: int) -> tuple[np.ndarray, ...]:
    """Return the first seconds of some held-out clips (training clips when there are none), resampled to a rate."""
    if store is None:
        return ()
    clips = (store.split("val") or store.split("train"))[:NUM_EXCERPTS]
    count = round(EXCERPT_SECONDS * store.audio.sample_rate)
    waveforms = [np.asarray(store.waveform(clip)[:count], dtype=np.float32) for clip in clips]
    resampled = [soxr.resample(waveform, store.audio.sample_rate, rate, quality="HQ") for waveform in waveforms]
    return tuple(np.ascontiguousarray(waveform, dtype=np.float32) for waveform in resampled if len(waveform))


def _short(feature: FeatureDescription) -> str:
    return f"{feature.identity.get('id')} {feature.fingerprint[:12]}"
