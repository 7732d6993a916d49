"""What the card says about streams."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tools.streaming_tools import RATE
from utils.audio.resample import RationalResampler
from utils.audio.resample_bands import measure_bands
from utils.export.card import write_cards
from utils.export.graph_kinds import ExportedGraph
from utils.features.pitch.swift import builtin_tracker
from utils.inference.stream import StreamSession
from utils.shipped import shipped_hashes
from utils.verification.signals import speech_like
from utils.version import VERSION

pytestmark = pytest.mark.slow  # makes and tries whole graphs


@pytest.fixture(scope="module")
def exported(small_stream: ExportedGraph) -> ExportedGraph:
    return small_stream


def test_card_tells_a_host_what_it_must_know(exported: ExportedGraph, tmp_path: Path) -> None:
    graph = tmp_path / exported.path.name
    graph.write_bytes(exported.path.read_bytes())
    card = write_cards(tmp_path, [replace(exported, path=graph)], None)

    facts = card["streams"][graph.name]
    assert facts == json.loads((tmp_path / "card.json").read_text())["streams"][graph.name]
    assert (facts["block"], facts["look_ahead"]) == (320, 128)
    text = (tmp_path / "card.md").read_text()
    assert f"| {graph.name} | 320 | 128 | 28.0 |" in text
    assert card["tools"]["voclo-trainer"] == VERSION and f"Exported by voclo-trainer {VERSION}." in text


def test_metadata_and_card_name_the_encoder_and_tracker_that_are_in_the_stream(
    exported: ExportedGraph, tmp_path: Path
) -> None:
    metadata = StreamSession.open(exported.path).metadata
    graph = tmp_path / exported.path.name
    graph.write_bytes(exported.path.read_bytes())

    card = write_cards(tmp_path, [replace(exported, path=graph)], None)

    assert metadata.encoder == {"id": "random", "version": "1", "seed": 0, "dim": 16, "look_ahead": "short"}
    assert metadata.pitch["id"] == "swift_f0_stream"
    assert metadata.pitch["weights_sha256"] == shipped_hashes()["utils/features/weights/pitch_stream.safetensors"]
    assert metadata.pitch["tracker"] == builtin_tracker().identity
    assert metadata.extra["trained_on"] == {"encoder": {"id": "none"}, "pitch": {"id": "none"}}
    assert card["streams"][graph.name]["encoder"] == metadata.encoder
    assert card["streams"][graph.name]["pitch"] == metadata.pitch
    digest = metadata.pitch["weights_sha256"][:12]
    said = f"encoder is random (look_ahead=short), the pitch tracker swift_f0_stream (weights `{digest}`)."
    assert said in (tmp_path / "card.md").read_text()


def test_card_of_streams_alone_shows_a_loop_that_runs(
    exported: ExportedGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile

    graph = tmp_path / exported.path.name
    graph.write_bytes(exported.path.read_bytes())
    audio = speech_like(RATE, RATE + 77, 3)
    soundfile.write(tmp_path / "input.wav", audio, RATE, subtype="FLOAT")
    monkeypatch.chdir(tmp_path)

    write_cards(tmp_path, [replace(exported, path=graph)], None)

    text = (tmp_path / "card.md").read_text()
    assert "[batch, time]" not in text and "It has no form for recordings of any length" in text
    exec(compile(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], "card.md", "exec"), {})
    converted, _ = soundfile.read(tmp_path / "converted.wav", dtype="float32")
    expected = np.clip(StreamSession.open(exported.path).convert(audio), -1, 1)
    assert np.abs(converted - expected).max() < 1e-4  # 16-bit steps


def test_card_lists_every_rate_with_its_resamplers(exported: ExportedGraph, tmp_path: Path) -> None:
    whole = measure_bands(RationalResampler(44100, 16000))
    short = measure_bands(RationalResampler(48000, 16000, zero_crossings=30))
    assert whole is not None and short is not None
    names = ("small_sr48000_hop480_nfft1920_stream.onnx", "small_sr44100_hop441_nfft1764.onnx")
    for name in names:
        (tmp_path / name).write_bytes(b"graph")
    graphs = [
        replace(exported, path=tmp_path / names[0], resamplers=(short,)),
        replace(exported, path=tmp_path / names[1], stream=None, resamplers=(whole,)),
    ]

    card = write_cards(tmp_path, graphs, None)

    assert card["rates"] == [44100, 48000]
    assert not {"sample_rate", "hop_length", "n_fft", "flavour"} & set(card["voice"])
    listed = [(item["flavour"], item["sample_rate"], item["n_fft"]) for item in card["graphs"].values()]
    assert listed == [("stream", 48000, 1920), ("audio_to_audio", 44100, 1764)]
    assert card["graphs"][names[0]]["resamplers"][0]["stop_band_hz"] == short.stop_band_hz > 8000 > whole.stop_band_hz
    text = (tmp_path / "card.md").read_text()
    assert "at 44100 or 48000 Hz in, one file for each rate" in text
    assert (
        f"- {names[0]}: 48000 Hz in and out; 48000 to 16000 Hz: within 0.09 dB up to 7031 Hz, 82 dB down from" in text
    )
    assert (
        f'InferenceSession("{names[1]}")' in text and "assert rate == 44100" in text
    )  # not the stream, which needs a state
