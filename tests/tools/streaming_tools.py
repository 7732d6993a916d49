"""A small light voice that converts streams, for tests."""

from dataclasses import asdict, replace
from pathlib import Path

import torch

from models.conversion import AudioConverter
from models.lite import LiteVoice
from tests.tools.standin_voice import metadata_of
from utils.audio.resample import RationalResampler
from utils.export.graph_kinds import ExportedGraph, GraphJob, make_stream
from utils.export.tracing import GraphOptions
from utils.features.content.builtin import RandomContent
from utils.features.frontend import AnalysisFrontend
from utils.features.pitch.swift import builtin_tracker
from utils.features.retrieval import CodebookRetrieval
from utils.verification.candidate import Extent
from utils.voice_file.controls import ControlDefaults
from utils.voice_file.geometry import FileGeometry
from utils.voice_file.metadata import METADATA_KEY, StreamFacts

RATE, DIM = 16000, 16
DEFAULTS = ControlDefaults(index_rate=0.3)

__all__ = [
    "DEFAULTS",
    "DIM",
    "METADATA_KEY",
    "RATE",
    "StreamFacts",
    "export_small_stream",
    "small_converter",
    "small_voice",
]


def small_voice(*, kind: type[LiteVoice] = LiteVoice) -> LiteVoice:
    """Return an untrained generator of two speakers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        voice = kind(
            sample_rate=RATE, n_fft=640, content_dim=DIM, num_speakers=2, channels=16, num_blocks=2, speaker_dim=4
        )
        with torch.no_grad():  # as loud as speech
            voice.head.project.bias.view(3, -1)[[0, 2]] += 2.5
    return voice.requires_grad_(False).eval()


def small_converter(
    io_rate: int = RATE, *, kind: type[LiteVoice] = LiteVoice, defaults: ControlDefaults | None = None
) -> AudioConverter:
    """Return that voice from audio to audio at a rate, with a codebook."""
    frontend = AnalysisFrontend(RandomContent(dim=DIM), builtin_tracker(), io_rate)
    codebook = torch.randn(2, 8, DIM, generator=torch.Generator().manual_seed(4))
    parts = frontend, CodebookRetrieval(codebook), RationalResampler(RATE, io_rate)
    return AudioConverter(small_voice(kind=kind), *parts, defaults=defaults).requires_grad_(False).eval()


def export_small_stream(folder: Path, io_rate: int = RATE) -> ExportedGraph:
    """Export the small voice as a stream into a folder."""
    geometry = FileGeometry(name="small", sample_rate=io_rate, hop_length=io_rate // 100, n_fft=4 * io_rate // 100)
    metadata = replace(
        metadata_of("small"),
        sample_rate=io_rate,
        hop_length=geometry.hop_length,
        n_fft=geometry.n_fft,
        flavour="stream",
        defaults=asdict(DEFAULTS),
    )
    return make_stream(
        GraphJob(
            converter=small_converter(io_rate, defaults=DEFAULTS),
            defaults=DEFAULTS,
            options=GraphOptions(),
            metadata=metadata,
            folder=folder,
            tolerance=1e-4,
            recordings=(),
            extent=Extent(minutes=0, num_blocks=60, listens=False),
        )
    )
