"""The kinds of graphs a voice can be exported as. A new kind is one entry in GRAPH_KINDS."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper

from models.base import BaseVoiceConversionModel
from models.conversion import AudioConverter
from models.stream_conversion import StreamConverter
from utils.audio.resample import RationalResampler
from utils.audio.resample_bands import ResamplerBands, measure_bands
from utils.errors import ConfigError, ExportError
from utils.export.finishing import save_graph
from utils.export.graph import build_graph
from utils.export.outcome import VerifiedGraph
from utils.export.precision import Precision, all_tables, fixed_tables, reduce_weights, tolerance_of
from utils.export.reference import voice_reference
from utils.export.stream_graph import build_stream_graph, stream_converter
from utils.export.tracing import GraphOptions
from utils.features.stream_frontend import StreamFrontend, StreamResampler
from utils.verification.candidate import Candidate, Extent
from utils.verification.checks import Check
from utils.verification.reference import Reference
from utils.verification.rules import verify
from utils.verification.sound_rules import bandwidth_hz
from utils.voice_file.controls import ControlDefaults
from utils.voice_file.kinds import AUDIO_TO_AUDIO, STREAM
from utils.voice_file.metadata import BANDWIDTH_KEY, METADATA_KEY, NOT_JUDGED_KEY, StreamFacts, VoiceMetadata

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GraphJob:
    """All that one graph is made from.

    Attributes:
        converter: from audio to audio at the rate of the graph.
        metadata: what the graph says of itself.
        defaults: values of the controls when a caller gives none.
        options: exporter and operator version.
        folder: where the file is written.
        tolerance: largest allowed relative RMS difference from PyTorch.
        recordings: [T] excerpts of real recordings at the rate of the graph.
        extent: how long the rules of the graph's hosts are tried.
        precision: in which learned weights are stored.
        stream_block_ms: block of a streaming graph.
    """

    converter: AudioConverter
    metadata: VoiceMetadata
    defaults: ControlDefaults
    options: GraphOptions
    folder: Path
    tolerance: float
    recordings: tuple[np.ndarray, ...]
    extent: Extent
    precision: Precision = "fp32"
    stream_block_ms: int = 20


@dataclass(frozen=True)
class ExportedGraph(VerifiedGraph):
    """A written graph of a voice.

    Attributes:
        metadata: what the graph says of itself.
        stream: what a host of a streaming graph must know; None for a graph for recordings.
        resamplers: bands of those from and to the rate of the graph, where it is not the same inside.
    """

    metadata: VoiceMetadata
    stream: StreamFacts | None = None
    resamplers: tuple[ResamplerBands, ...] = ()


class WrittenGraph(NamedTuple):
    """A written file, what verification says of it, and what it says of itself."""

    path: Path
    checks: tuple[Check, ...]
    metadata: VoiceMetadata


@dataclass(frozen=True)
class GraphKind:
    """A kind of graph: its name in configuration and metadata, what it is for, and how it is made."""

    name: str
    purpose: str
    make: Callable[[GraphJob], ExportedGraph]


def make_audio_to_audio(job: GraphJob) -> ExportedGraph:
    """Write and verify the graph that takes audio and returns audio.

    Raises:
        ExportError: if the voice was made for streams alone.
    """
    converter, generator = job.converter, job.converter.generator
    if isinstance(generator, BaseVoiceConversionModel) and generator.is_for_streams:
        raise ExportError(
            f"{type(generator).__name__} is a voice for streams and has no graph for recordings; "
            "type export.graph_kinds=[stream], or train model=lite"
        )
    graph = build_graph(
        converter,
        sample_rate=job.metadata.sample_rate,
        defaults=job.defaults,
        options=job.options,
        metadata={METADATA_KEY: job.metadata.to_json()},
    )
    path, checks, metadata = _written(job, job.metadata, graph, fixed_tables(converter), _reference(job))
    bands = _bands(getattr(converter.frontend, "resampler", None), converter.resampler)
    return ExportedGraph(path, checks, metadata, resamplers=bands)


def make_stream(job: GraphJob) -> ExportedGraph:
    """Write and verify the graph that converts a stream block by block."""
    voice = stream_converter(job.converter, block_ms=job.stream_block_ms)
    assert isinstance(voice.frontend, StreamFrontend) and isinstance(voice.resampler, StreamResampler)
    facts = StreamFacts(
        block=voice.block,
        look_ahead=voice.look_ahead,
        state_size=voice.state_size,
        latency_ms=round(1000 * (voice.block + voice.look_ahead) / job.metadata.sample_rate, 3),
    )
    metadata = stream_metadata(job.metadata, voice.frontend, facts)
    graph = build_stream_graph(
        voice, defaults=job.defaults, options=job.options, metadata={METADATA_KEY: metadata.to_json()}
    )
    tables = fixed_tables(job.converter) + fixed_tables(voice) + all_tables(voice.frontend.pitch)
    path, checks, metadata = _written(job, metadata, graph, tables, _reference(job, voice))
    bands = _bands(voice.frontend.resampler.resampler, voice.resampler.resampler)
    return ExportedGraph(path, checks, metadata, facts, bands)


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


def _written(
    job: GraphJob, metadata: VoiceMetadata, graph: onnx.ModelProto, tables: list[np.ndarray], reference: Reference
) -> WrittenGraph:
    """Write a graph with its weights in the precision that is asked for, what it says of itself, and verify it."""
    reduce_weights(graph, job.precision, tables)
    path = job.folder / metadata.geometry.file_name
    metadata = _with_extra(metadata, **{BANDWIDTH_KEY: round(bandwidth_hz(reference.voice(metadata)))})
    helper.set_model_props(graph, {METADATA_KEY: metadata.to_json()})
    save_graph(graph, path)
    checks = tuple(verify(Candidate(path=path, extent=job.extent), reference))
    unjudged = [check.name for check in checks if check.is_unjudged]
    if unjudged:  # a file alone cannot tell what its voice has not learnt from what was broken
        metadata = _with_extra(metadata, **{NOT_JUDGED_KEY: unjudged})
        helper.set_model_props(graph, {METADATA_KEY: metadata.to_json()})
        path.write_bytes(graph.SerializeToString(deterministic=True))
    return WrittenGraph(path, checks, metadata)


def _with_extra(metadata: VoiceMetadata, **values: Any) -> VoiceMetadata:
    return replace(metadata, extra={**metadata.extra, **values})


def _reference(job: GraphJob, stream: StreamConverter | None = None) -> Reference:
    return voice_reference(
        job.converter,
        defaults=job.defaults,
        tolerance=tolerance_of(job.precision, job.tolerance),
        recordings=job.recordings,
        convert=stream.whole if stream is not None else None,
        network=stream,
    )


def _bands(*resamplers: object) -> tuple[ResamplerBands, ...]:
    measured = [measure_bands(item) for item in resamplers if isinstance(item, RationalResampler)]
    return tuple(bands for bands in measured if bands is not None)


GRAPH_KINDS: dict[str, GraphKind] = {
    kind.name: kind
    for kind in (
        GraphKind(AUDIO_TO_AUDIO, "one graph from audio to audio, any length", make_audio_to_audio),
        GraphKind(STREAM, "blocks of one length, with the state going in and coming out", make_stream),
    )
}


def find_graph_kind(name: str) -> GraphKind:
    """Return a kind of graph by name.

    Raises:
        ConfigError: if there is none of this name.
    """
    if name not in GRAPH_KINDS:
        raise ConfigError(f"export.graph_kinds: {name!r} is unknown; allowed: {', '.join(GRAPH_KINDS)}")
    return GRAPH_KINDS[name]
