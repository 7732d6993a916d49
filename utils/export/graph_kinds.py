"""The kinds of graphs a voice can be exported as. A new kind is one entry in FLAVOURS."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from models.base import BaseVoiceConversionModel
from models.conversion import AudioConverter
from utils.audio.resample import RationalResampler
from utils.audio.resample_bands import ResamplerBands, measure_bands
from utils.errors import ConfigError, ExportError
from utils.export.graph import GraphOptions, build_graph, save_graph
from utils.export.precision import Precision, fixed_tables, reduce_weights, tolerance_of
from utils.export.reference import voice_reference
from utils.export.stream_graph import build_stream_graph
from utils.export.stream_voice import stream_converter
from utils.features.stream_frontend import StreamFrontend, StreamResampler
from utils.verification.candidate import Candidate, Extent
from utils.verification.checks import Check
from utils.verification.rules import verify
from utils.voice_file.controls import ControlDefaults
from utils.voice_file.geometry import FileGeometry
from utils.voice_file.metadata import METADATA_KEY, StreamFacts, VoiceMetadata, metadata_from_json

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FlavourJob:
    """All that a kind of graph is made from.

    Attributes:
        model: the generator.
        converter: from audio to audio at the rate of the geometry, with the generator inside.
        geometry: name, rate and frame sizes of the file.
        defaults: values of the controls when a caller gives none.
        options: exporter and operator version.
        metadata: JSON that travels in the graph.
        folder: where the file is written.
        tolerance: largest allowed relative RMS difference from PyTorch.
        recordings: [T] excerpts of real recordings at the rate of the geometry.
        extent: how long the rules of the graph's hosts are tried.
        precision: in which learned weights are stored.
        stream_block_ms: block of a streaming graph.
    """

    model: BaseVoiceConversionModel
    converter: AudioConverter
    geometry: FileGeometry
    defaults: ControlDefaults
    options: GraphOptions
    metadata: str
    folder: Path
    tolerance: float
    recordings: tuple[np.ndarray, ...]
    extent: Extent
    precision: Precision = "fp32"
    stream_block_ms: int = 20


@dataclass(frozen=True)
class ExportedGraph:
    """A written graph and the outcome of its verification.

    Attributes:
        stream: of a streaming graph only.
        metadata: what the file says where that differs from what its job said.
        resamplers: bands of those from and to the rate of the graph, where it is not the same inside.
    """

    path: Path
    checks: tuple[Check, ...]
    stream: StreamFacts | None = None
    metadata: VoiceMetadata | None = None
    resamplers: tuple[ResamplerBands, ...] = ()

    @property
    def has_passed(self) -> bool:
        """Whether every rule holds."""
        return all(check.passed for check in self.checks)


@dataclass(frozen=True)
class Flavour:
    """A kind of graph: its name in configuration and metadata, what it is for, and how it is made."""

    name: str
    purpose: str
    make: Callable[[FlavourJob], ExportedGraph]


def make_audio_to_audio(job: FlavourJob) -> ExportedGraph:
    """Write and verify the graph that takes audio and returns audio.

    Raises:
        ExportError: if the voice was made for streams alone.
    """
    if job.model.is_for_streams:
        raise ExportError(
            f"{type(job.model).__name__} is a voice for streams and has no graph for recordings; "
            "type export.graph_kinds=[stream], or train model=lite"
        )
    graph = build_graph(
        job.converter,
        sample_rate=job.geometry.sample_rate,
        defaults=job.defaults,
        options=job.options,
        metadata={METADATA_KEY: job.metadata},
    )
    reduce_weights(graph, job.precision, fixed_tables(job.converter))
    tolerance = tolerance_of(job.precision, job.tolerance)
    path = job.folder / job.geometry.file_name
    save_graph(graph, path)
    reference = voice_reference(job.converter, defaults=job.defaults, tolerance=tolerance, recordings=job.recordings)
    checks = verify(Candidate(path=path, extent=job.extent), reference)
    bands = _bands(getattr(job.converter.frontend, "resampler", None), job.converter.resampler)
    return ExportedGraph(path, tuple(checks), resamplers=bands)


def make_stream(job: FlavourJob) -> ExportedGraph:
    """Write and verify the graph that converts a stream block by block."""
    voice = stream_converter(job.converter, block_ms=job.stream_block_ms)
    assert isinstance(voice.frontend, StreamFrontend) and isinstance(voice.resampler, StreamResampler)
    rate = job.geometry.sample_rate
    facts = StreamFacts(
        block=voice.block,
        look_ahead=voice.look_ahead,
        state_size=voice.state_size,
        latency_ms=round(1000 * (voice.block + voice.look_ahead) / rate, 3),
    )
    stored = metadata_from_json(job.metadata, job.geometry.file_name)
    metadata = stream_metadata(stored, voice.frontend, facts)
    graph = build_stream_graph(
        voice, defaults=job.defaults, options=job.options, metadata={METADATA_KEY: metadata.to_json()}
    )
    reduce_weights(graph, job.precision, fixed_tables(job.converter) + fixed_tables(voice.generator))
    path = job.folder / replace(job.geometry, is_stream=True).file_name
    save_graph(graph, path)
    reference = voice_reference(
        job.converter,
        defaults=job.defaults,
        tolerance=tolerance_of(job.precision, job.tolerance),
        recordings=job.recordings,
        convert=voice.whole,
    )
    checks = verify(Candidate(path=path, extent=job.extent), reference)
    bands = _bands(voice.frontend.resampler.resampler, voice.resampler.resampler)
    return ExportedGraph(path, tuple(checks), facts, metadata, bands)


def stream_metadata(stored: VoiceMetadata, frontend: StreamFrontend, facts: StreamFacts) -> VoiceMetadata:
    """Return the metadata of a voice's streaming graph: other encoder and tracker than in training."""
    encoder, pitch = frontend.encoder_identity, frontend.pitch_identity
    if stored.encoder != encoder:
        log.warning(
            "stream: %s was trained on content.look_ahead=%s, a stream hears look_ahead=short: its words are less "
            "clear; for a voice of streams alone prepare with content.look_ahead=short and train model=lite_stream",
            stored.name, stored.encoder.get("look_ahead", "full"),
        )  # fmt: skip
    trained_on = {"encoder": stored.encoder, "pitch": stored.pitch}
    extra = {**stored.extra, "stream": asdict(facts), "trained_on": trained_on}
    return replace(stored, encoder=encoder, pitch=pitch, extra=extra)


def _bands(*resamplers: object) -> tuple[ResamplerBands, ...]:
    measured = [measure_bands(item) for item in resamplers if isinstance(item, RationalResampler)]
    return tuple(bands for bands in measured if bands is not None)


FLAVOURS: dict[str, Flavour] = {
    flavour.name: flavour
    for flavour in (
        Flavour("audio_to_audio", "one graph from audio to audio, any length", make_audio_to_audio),
        Flavour("stream", "blocks of one length, with the state going in and coming out", make_stream),
    )
}


def find_flavour(name: str) -> Flavour:
    """Return a kind of graph by name.

    Raises:
        ConfigError: if there is none of this name.
    """
    if name not in FLAVOURS:
        raise ConfigError(f"export.flavours: {name!r} is unknown; allowed: {', '.join(FLAVOURS)}")
    return FLAVOURS[name]
