"""Export a trained run: graphs, index and cards, delivered together or not at all."""

import logging
import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from models.conversion import AudioConverter, Retrieval
from utils.config import to_yaml
from utils.corpus.description import FeatureDescription
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, ExportError
from utils.export.card import CARD, CARD_TEXT, files_of_card, write_cards
from utils.export.codebook import rebuilt_retrieval, refuse_lost_codebook
from utils.export.graph_kinds import ExportedGraph, FlavourJob, find_flavour
from utils.export.plans import ExportPlan
from utils.export.retrieval import BakingReport, baking_report, held_out, index_of, training_frames
from utils.export.rvc.imported_voice import explain_import, load_imported_voice
from utils.export.staging import move_into_place, staging_folder
from utils.features.index import IndexReport, save_index
from utils.features.retrieval import CodebookRetrieval
from utils.files import sha256_of_file
from utils.training.checkpoints import TrainedVoice, load_voice
from utils.voice_file.controls import ControlDefaults, refuse_idle_controls
from utils.voice_file.geometry import FileGeometry, geometry_at
from utils.voice_file.metadata import F0_CONVENTION, IDLE_KEY, VoiceMetadata
from utils.voice_file.speakers import Speaker, speaker_number

EXCERPT_SECONDS = 3.0
NUM_EXCERPTS = 2
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportOutcome:
    """Where the voice is, and everything that was verified; `files` is empty when a rule failed.

    Attributes:
        index: None for an imported voice, whose recordings are not here.
        notes: lines that say what was taken from an imported file.
        baking: what the codebook in the graph loses against the index; None without either or held-out frames.
    """

    folder: Path
    files: list[Path]
    graphs: list[ExportedGraph]
    index: IndexReport | None
    notes: tuple[str, ...] = ()
    baking: BakingReport | None = None

    @property
    def failures(self) -> list[str]:
        """Names of the rules that do not hold, with their file."""
        return [
            f"{graph.path.name}: {check.name}" for graph in self.graphs for check in graph.checks if not check.passed
        ]


def export_voice(job: ExportPlan) -> ExportOutcome:
    """Make, verify and deliver a voice.

    Raises:
        ConfigError: if the run, its dataset or a setting cannot be used.
        ExportError: if the network cannot be traced.
    """
    voice = _load(job)
    notes = tuple(explain_import(voice)) if job.imported else ()
    store = None if job.imported else open_training_data(job, voice)
    refuse_lost_codebook(job.run, job.codebook_size, voice)
    if job.speaker is not None:
        chosen = speaker_number(job.speaker, voice.speakers, "export.speaker", "this voice")
        job = replace(job, defaults=replace(job.defaults, speaker_id=chosen))
    target = job.root / job.name
    earlier = files_of_card(target)
    with staging_folder(target, _file_names(job, voice)) as folder:
        index_path, report, digest, baking = None, None, None, None
        if store is not None and job.codebook_size is not None:
            rebuilt = rebuilt_retrieval(store, job.codebook_size, seed=job.index.seed)
            voice = replace(voice, converter=_with_retrieval(voice.converter, rebuilt))
        refuse_idle_controls(job.asked, voice.converter.idle_controls, "the voice")
        if store is not None:
            index_path = folder / f"{job.name}.index"
            index = index_of(store, job.index)
            save_index(index, index_path)
            report, digest = index.report, sha256_of_file(index_path)
            retrieval = voice.converter.retrieval
            if isinstance(retrieval, CodebookRetrieval):
                baking = baking_report(index, retrieval, list(held_out(store)), partial(training_frames, store))
        metadata = [
            describe(job, voice, store, geometry, flavour=flavour, index_sha256=digest)
            for geometry in _geometries(job, voice)
            for flavour in job.flavours
        ]
        graphs = [_make(job, item, store, voice.converter.retrieval, folder) for item in metadata]
        outcome = ExportOutcome(target, [], graphs, report, notes, baking)
        if outcome.failures:
            return outcome
        write_cards(folder, graphs[0].metadata or metadata[0], graphs, index_path, report, baking)
        files = move_into_place(folder, target, lambda path: path.name in earlier)
    return ExportOutcome(target, files, graphs, report, notes, baking)


def open_training_data(job: ExportPlan, voice: TrainedVoice) -> CorpusStore:
    """Open the dataset of a run and check that its features are those the voice was trained on.

    Raises:
        ConfigError: if it is not there.
        ExportError: if it was prepared with another encoder, or holds other speakers or clips.
    """
    trained = voice.config["dataset"]
    folder = job.dataset or Path(str(trained["root"])) / str(trained["name"])
    if not (folder / "dataset.json").is_file():
        raise ConfigError(f"the run's dataset is not at {folder}; give its place with dataset=<folder>")
    store = CorpusStore.open(folder)
    ours, theirs = voice.dataset.content, store.description.content
    if ours.identity != theirs.identity or ours.fingerprint != theirs.fingerprint:
        raise ExportError(
            f"dataset {folder} was prepared with other content features ({_short(theirs)}) than run {job.run} was "
            f"trained on ({_short(ours)}); prepare it again as before, or train again"
        )
    if store.speakers != voice.speakers:
        raise ExportError(
            f"dataset {folder} has the speakers {store.speakers}, the run {job.run} has {voice.speakers}; "
            "give the dataset of the run with dataset=<folder>, or train again"
        )
    if store.description.files["manifest"] != voice.dataset.files["manifest"]:
        raise ExportError(
            f"dataset {folder} holds other clips ({store.fingerprint[:12]}) than run {job.run} was trained on "
            f"({voice.dataset.fingerprint[:12]}), so that the index would not be of this voice; give the "
            "dataset of the run with dataset=<folder>, prepare its recordings again, or train again"
        )
    return store


def describe(
    job: ExportPlan,
    voice: TrainedVoice,
    store: CorpusStore | None,
    geometry: FileGeometry,
    *,
    flavour: str,
    index_sha256: str | None,
) -> VoiceMetadata:
    """Collect the metadata of one graph; an imported voice has no dataset."""
    speakers = tuple(
        Speaker(id=index, name=speaker.name, f0_median_hz=float(speaker.f0_median_hz or 0.0))
        for index, speaker in enumerate(voice.dataset.speakers)
    )
    return VoiceMetadata(
        name=geometry.name,
        sample_rate=geometry.sample_rate,
        hop_length=geometry.hop_length,
        n_fft=geometry.n_fft,
        model_rate=voice.model.sample_rate,
        flavour=flavour,
        encoder=dict(voice.dataset.content.identity),
        pitch=dict(_pitch_identity(voice)),
        speakers=speakers,
        defaults=asdict(job.defaults),
        index_sha256=index_sha256,
        licence=job.licence,
        consent=job.consent,
        dataset_fingerprint=voice.dataset.fingerprint if store is not None else "unknown",
        step=voice.step,
        metrics={name: float(value) for name, value in voice.metrics.items() if math.isfinite(float(value))},
        config=to_yaml(without_places(voice.config)),
        precision=job.precision,
        f0_convention=str(_pitch_identity(voice).get("unvoiced", F0_CONVENTION)),
        extra={"needs_context": voice.model.needs_context, IDLE_KEY: sorted(voice.converter.idle_controls)}
        | ({"pretrained": voice.pretrained} if voice.pretrained is not None else {})
        | ({"imported": voice.imported} if voice.imported is not None else {}),
    )


def excerpts(store: CorpusStore | None, rate: int) -> tuple[np.ndarray, ...]:
    """Return the first seconds of some held-out clips (training clips when there are none), resampled to a rate."""
    if store is None:
        return ()
    clips = (store.split("val") or store.split("train"))[:NUM_EXCERPTS]
    count = round(EXCERPT_SECONDS * store.audio.sample_rate)
    waveforms = [np.asarray(store.waveform(clip)[:count], dtype=np.float32) for clip in clips]
    resampled = [soxr.resample(waveform, store.audio.sample_rate, rate, quality="HQ") for waveform in waveforms]
    return tuple(np.ascontiguousarray(waveform, dtype=np.float32) for waveform in resampled if len(waveform))


def _load(job: ExportPlan, io_rate: int | None = None) -> TrainedVoice:
    if job.imported is not None:
        return load_imported_voice(job.imported, io_rate)
    assert job.run is not None
    return load_voice(job.run, job.checkpoint, io_rate)


def _make(
    job: ExportPlan, metadata: VoiceMetadata, store: CorpusStore | None, retrieval: Retrieval | None, folder: Path
) -> ExportedGraph:
    # Read anew for each graph: the front end is built for one rate.
    voice = _load(job, metadata.sample_rate)
    geometry = FileGeometry(
        name=metadata.name, sample_rate=metadata.sample_rate, hop_length=metadata.hop_length, n_fft=metadata.n_fft
    )
    return find_flavour(metadata.flavour).make(
        FlavourJob(
            model=voice.model,
            converter=_with_retrieval(voice.converter, retrieval, job.defaults),
            geometry=geometry,
            defaults=job.defaults,
            options=job.options,
            metadata=metadata.to_json(),
            folder=folder,
            tolerance=job.tolerance,
            recordings=excerpts(store, metadata.sample_rate),
            extent=job.extent,
            precision=job.precision,
            stream_block_ms=job.stream_block_ms,
        )
    )


def _with_retrieval(
    converter: AudioConverter, retrieval: Retrieval | None, defaults: ControlDefaults | None = None
) -> AudioConverter:
    """Return a converter with another retrieval and other values for controls that are NaN."""
    parts = converter.generator, converter.frontend, retrieval, converter.resampler
    return AudioConverter(*parts, defaults=defaults).eval()


def _geometries(job: ExportPlan, voice: TrainedVoice) -> list[FileGeometry]:
    model_rate, n_fft = voice.model.sample_rate, int(voice.config["audio"]["n_fft"])
    rates = dict.fromkeys(job.rates or (model_rate,))
    return [geometry_at(job.name, rate, model_rate=model_rate, model_n_fft=n_fft) for rate in rates]


def _file_names(job: ExportPlan, voice: TrainedVoice) -> list[str]:
    graphs = [
        replace(geometry, is_stream=flavour == "stream").file_name
        for geometry in _geometries(job, voice)
        for flavour in job.flavours
    ]
    return [*graphs, *([] if job.imported else [f"{job.name}.index"]), CARD, CARD_TEXT]


def _pitch_identity(voice: TrainedVoice) -> dict[str, Any]:
    tracker = getattr(voice.converter.frontend, "pitch_tracker", None)
    return dict(tracker.identity) if tracker is not None else {}


def _short(feature: FeatureDescription) -> str:
    return f"{feature.identity.get('id')} {feature.fingerprint[:12]}"


def without_places(value: Any) -> Any:
    """Reduce absolute paths to their last part: a voice is passed on, its maker's folders are nobody's business."""
    if isinstance(value, dict):
        return {key: without_places(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_places(item) for item in value]
    if isinstance(value, str) and Path(value).expanduser().is_absolute():
        return Path(value).name
    return value
