"""Voices with random weights, which cost the same as trained ones, and their graphs."""

from collections.abc import Sequence
from pathlib import Path

import torch

from models.base import BaseVoiceConversionModel
from models.conversion import AudioConverter
from utils.audio.resample import RationalResampler
from utils.config.train import train_job
from utils.export.finishing import save_graph
from utils.export.graph import build_graph
from utils.export.stream_graph import build_stream_graph, stream_converter
from utils.export.tracing import GraphOptions
from utils.features.content.builtin import BuiltinContent
from utils.features.frontend import AnalysisFrontend
from utils.features.pitch.swift import builtin_tracker
from utils.features.retrieval import CodebookRetrieval, entries_per_speaker
from utils.voice_file.controls import ControlDefaults


def random_voice(
    model: str, audio: str, num_speakers: int, io_rate: int = 48000, sizes: Sequence[str] = ()
) -> AudioConverter:
    """Return a voice with random weights behind the built-in front end, ready to be exported; `sizes` are overrides."""
    torch.manual_seed(0)
    config = train_job([f"model={model}", f"audio={audio}", *sizes])
    encoder = BuiltinContent()
    generator: BaseVoiceConversionModel = config.model.build(content_dim=encoder.dim, num_speakers=num_speakers)
    entries = entries_per_speaker(config.retrieval.codebook_size, num_speakers)
    codebook = torch.randn(num_speakers, entries, encoder.dim).half().float()  # as build_codebook makes them
    frontend = AnalysisFrontend(encoder, builtin_tracker(), io_rate)
    resampler = RationalResampler(generator.sample_rate, io_rate)
    return AudioConverter(generator, frontend, CodebookRetrieval(codebook), resampler).eval()


def export(voice: AudioConverter, path: Path) -> Path:
    """Write the graph of a voice."""
    graph = build_graph(
        voice, sample_rate=voice.io_rate, defaults=ControlDefaults(index_rate=0.0), options=GraphOptions(), metadata={}
    )
    save_graph(graph, path)
    return path


def export_stream(voice: AudioConverter, path: Path) -> Path:
    """Write the streaming graph of a voice."""
    defaults, options = ControlDefaults(index_rate=0.0), GraphOptions()
    graph = build_stream_graph(stream_converter(voice), defaults=defaults, options=options, metadata={})
    save_graph(graph, path)
    return path
