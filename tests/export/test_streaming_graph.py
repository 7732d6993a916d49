"""Making the graph of a stream."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models.conversion import AudioConverter
from models.lite_stream import LiteStreamVoice
from models.toy import ToyVoice
from tests.tools.standin_voice import metadata_of
from tests.tools.streaming_tools import RATE, small_converter, small_voice
from utils.audio.resample import RationalResampler
from utils.config.export import export_job
from utils.errors import ConfigError, ExportError, FormatError
from utils.export.graph_kinds import ExportedGraph, _bands, make_audio_to_audio, stream_metadata
from utils.export.stream_graph import stream_converter
from utils.features.content.base import ContentEncoder
from utils.features.frontend import AnalysisFrontend
from utils.features.stream_frontend import StreamFrontend, StreamResampler
from utils.inference.session import VoiceSession
from utils.voice_file.geometry import FileGeometry
from utils.voice_file.metadata import StreamFacts
from utils.voice_file.names import is_stream_file, parse_file_name

pytestmark = pytest.mark.slow  # makes and tries whole graphs

FACTS = StreamFacts(block=320, look_ahead=128, state_size=1, latency_ms=28.0)


@pytest.fixture(scope="module")
def exported(small_stream: ExportedGraph) -> ExportedGraph:
    return small_stream


def test_every_rule_holds(exported: ExportedGraph) -> None:
    assert [f"{check.name}: {check.detail}" for check in exported.checks if not check.passed] == []
    assert exported.path.name == "small_sr16000_hop160_nfft640_stream.onnx"


def test_file_names_tell_streams_from_other_graphs(exported: ExportedGraph) -> None:
    geometry = FileGeometry(name="a_b", sample_rate=48000, hop_length=480, n_fft=1920, is_stream=True)

    assert geometry.file_name == "a_b_sr48000_hop480_nfft1920_stream.onnx"
    assert parse_file_name(Path(geometry.file_name)) == geometry
    assert not is_stream_file(Path("a_b_sr48000_hop480_nfft1920.onnx"))
    with pytest.raises(FormatError, match=r"block by block; give small_sr16000_hop160_nfft640\.onnx for recordings"):
        VoiceSession.open(exported.path)


@pytest.mark.parametrize(("look_ahead", "said"), [("full", True), ("short", False)])
def test_a_voice_of_the_full_look_ahead_is_warned_about_as_a_stream(
    look_ahead: str, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    stream = stream_converter(small_converter())
    assert isinstance(stream.frontend, StreamFrontend)
    short = stream.frontend.encoder_identity
    encoder = short if look_ahead == "short" else {key: short[key] for key in short if key != "look_ahead"}

    stream_metadata(replace(metadata_of("small"), encoder=encoder), stream.frontend, FACTS)

    assert ("trained on content.look_ahead=full" in caplog.text) == ("a stream hears" in caplog.text) == said


def test_a_stream_records_the_bands_of_its_own_kernels(tmp_path: Path) -> None:
    graph = stream_converter(small_converter(48000))
    assert isinstance(graph.frontend, StreamFrontend) and isinstance(graph.resampler, StreamResampler)

    bands = _bands(graph.frontend.resampler.resampler, graph.resampler.resampler)

    assert [(item.source_rate, item.target_rate) for item in bands] == [(48000, 16000), (16000, 48000)]
    assert all(item.stop_band_hz > 1.01 * 8000 for item in bands)
    assert _bands(RationalResampler(16000, 16000), None) == ()


def test_what_cannot_be_streamed_is_refused_in_one_line() -> None:
    toy = ToyVoice(sample_rate=RATE, n_fft=640, content_dim=16, num_speakers=1)
    with pytest.raises(ExportError, match="ToyVoice cannot convert a stream"):
        stream_converter(AudioConverter(toy, small_converter().frontend, None, RationalResampler(RATE, RATE)))
    with pytest.raises(ExportError, match=r"no graph for recordings; type export\.graph_kinds=\[stream\]"):
        make_audio_to_audio(SimpleNamespace(converter=SimpleNamespace(generator=small_voice(kind=LiteStreamVoice))))  # type: ignore[arg-type]
    frontend = small_converter().frontend
    assert isinstance(frontend, AnalysisFrontend)
    frontend.content_encoder = ForeignContent()
    with pytest.raises(ConfigError, match="content encoder foreign has no form for streams"):
        StreamFrontend(frontend)
    for wrong in (0, 10, 30, 1020):
        with pytest.raises(ConfigError, match=f"stream_block_ms={wrong} is not possible"):
            export_job(["run=x", "export.graph_kinds=[stream]", f"export.stream_block_ms={wrong}"])
    assert export_job(["run=x"]).export.stream_block_ms == 20


class ForeignContent(ContentEncoder):
    @property
    def identity(self) -> dict[str, Any]:
        return {"id": "foreign"}
