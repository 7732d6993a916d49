"""The streaming graph keeps its rules, and each planted fault breaks one."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from models.lite import LiteStreamVoice
from models.toy import ToyVoice
from tests.standin_voice import metadata_of
from tests.streaming_tools import METADATA_KEY, RATE, export_small_stream, small_voice
from utils.config import compose
from utils.errors import ConfigError, ExportError, FormatError
from utils.export.card import write_cards
from utils.export.contract import (
    FileGeometry,
    StreamFacts,
    check_stream_block,
    is_stream_file,
    metadata_from_json,
    parse_file_name,
)
from utils.export.flavours import ExportedGraph, make_audio_to_audio, stream_metadata
from utils.export.runtime import open_session
from utils.export.signals import speech_like
from utils.export.streaming import StreamingVoice
from utils.features.content.base import ContentEncoder
from utils.features.frontend import AnalysisFrontend
from utils.features.pitch.swift import SwiftPitch
from utils.features.streaming import StreamFrontend
from utils.inference.conformance import suite
from utils.inference.conformance.candidate import Candidate, Extent
from utils.inference.conformance.stream_rules import stream_rules
from utils.inference.session import VoiceSession
from utils.inference.stream import StreamSession
from utils.inference.verify import VerifyJob, run_verification
from utils.shipped import shipped_hashes

FACTS = StreamFacts(block=320, look_ahead=128, state_size=1, latency_ms=28.0)
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "streaming.md"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportedGraph:
    return export_small_stream(tmp_path_factory.mktemp("stream"))


def test_every_rule_holds(exported: ExportedGraph) -> None:
    assert [f"{check.name}: {check.detail}" for check in exported.checks if not check.passed] == []
    assert exported.path.name == "small_sr16000_hop160_nfft640_stream.onnx"


def test_verify_tries_the_rules_of_streams_on_the_file_alone(
    exported: ExportedGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = [(name, rule) for name, rule in stream_rules() if name in {"stream, signature", "stream, fresh start"}]
    monkeypatch.setattr(suite, "stream_rules", lambda: quick)
    job = VerifyJob(onnx=exported.path, report=tmp_path / "r.json", extent=Extent(minutes=0, num_blocks=0))

    report = run_verification(job)

    assert report["passed"]
    assert [row["name"] for row in report["checks"]] == ["file", "loading", "name", *(name for name, _ in quick)]


class Tampered:
    """A session whose metadata, state or output is changed on the way."""

    def __init__(
        self, session: onnxruntime.InferenceSession, change: Callable[..., Any], facts: dict[str, Any]
    ) -> None:
        self._session, self._change = session, change
        stored = dict(session.get_modelmeta().custom_metadata_map)
        metadata = metadata_from_json(stored[METADATA_KEY], "test")
        stream = {**metadata.extra["stream"], **facts}
        stored[METADATA_KEY] = replace(metadata, extra={"stream": stream}).to_json()
        self._meta = SimpleNamespace(custom_metadata_map=stored, producer_name="test")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def get_modelmeta(self) -> Any:
        return self._meta

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        return list(self._change(names, feed, self._session.run))


def nothing(names: Any, feed: Any, run: Any) -> Any:
    return run(names, feed)


def forgets(names: Any, feed: Any, run: Any) -> Any:
    return run(names, {**feed, "state": np.zeros_like(feed["state"])})


def dry(names: Any, feed: Any, run: Any) -> Any:
    return feed["audio"], run(names, feed)[1]


def mute(names: Any, feed: Any, run: Any) -> Any:
    return np.zeros_like(feed["audio"]), run(names, feed)[1]


def hums(names: Any, feed: Any, run: Any) -> Any:
    output, state = run(names, feed)
    return output + np.float32(1e-3), state


def passes_nan(names: Any, feed: Any, run: Any) -> Any:
    output, state = run(names, feed)
    return output + 0 * feed["audio"], state


def slightly_other(names: Any, feed: Any, run: Any) -> Any:
    output, state = run(names, feed)
    return output * np.float32(1.01), state


def draws_random_numbers() -> Callable[..., Any]:
    rng = np.random.default_rng(0)

    def change(names: Any, feed: Any, run: Any) -> Any:
        output, state = run(names, feed)
        return output + 1e-5 * rng.standard_normal(output.shape).astype(np.float32), state

    return change


FAULTS: list[tuple[str, Callable[..., Any], dict[str, Any], set[str]]] = [
    ("state ignored", forgets, {}, {"stream, blocks against one piece", "stream, fresh start"}),
    ("dry signal", dry, {}, {"not the dry signal", "stream, blocks against one piece"}),
    ("silence", mute, {}, {"not the dry signal", "stream, latency"}),
    ("sound in silence", hums, {}, {"stream, silence"}),
    ("NaN passes", passes_nan, {}, {"stream, hostile blocks"}),
    ("1 % louder", slightly_other, {}, {"stream, blocks against one piece"}),
    ("random", draws_random_numbers(), {}, {"stream, same input, same output"}),
    ("other latency", nothing, {"look_ahead": 20}, {"stream, latency"}),
    ("too late", nothing, {"look_ahead": 300}, {"stream, signature", "stream, latency"}),
    ("other block", nothing, {"block": 640}, {name for name, _ in stream_rules()} - {"stream, endurance"}),
]


@pytest.mark.parametrize(("change", "facts", "caught"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_planted_faults_are_caught(
    exported: ExportedGraph, change: Callable[..., Any], facts: dict[str, Any], caught: set[str]
) -> None:
    import torch

    from tests.streaming_tools import DEFAULTS
    from utils.export.graph import control_tensors

    stream = StreamingVoice(small_voice())
    candidate = Candidate(
        path=exported.path,
        extent=Extent(minutes=0, num_blocks=0),
        reference=lambda audio: stream.whole(torch.from_numpy(audio), *control_tensors(DEFAULTS)).numpy(),
    )
    candidate.__dict__["session"] = Tampered(open_session(exported.path), change, facts)

    failed = set()
    for name, rule in stream_rules():
        if name not in caught:
            continue
        try:
            failed |= set() if rule(candidate).passed else {name}
        except FormatError:
            failed.add(name)

    assert failed == caught


def test_controls_take_effect_in_a_stream(exported: ExportedGraph) -> None:
    stream = StreamSession.open(exported.path)
    audio = speech_like(RATE, RATE, 2)
    plain = stream.convert(audio)

    assert len(plain) == len(audio)
    for control in ({"pitch_shift": 7.0}, {"speaker_id": 1}, {"index_rate": 1.0}, {"loudness_mix": 0.0}):
        assert not np.allclose(stream.convert(audio, control), plain, atol=1e-4), control


def test_file_names_tell_streams_from_other_graphs(exported: ExportedGraph) -> None:
    geometry = FileGeometry(name="a_b", sample_rate=48000, hop_length=480, n_fft=1920, is_stream=True)

    assert geometry.file_name == "a_b_sr48000_hop480_nfft1920_stream.onnx"
    assert parse_file_name(Path(geometry.file_name)) == geometry
    assert not is_stream_file(Path("a_b_sr48000_hop480_nfft1920.onnx"))
    with pytest.raises(FormatError, match=r"block by block; give small_sr16000_hop160_nfft640\.onnx for recordings"):
        VoiceSession.open(exported.path)


def test_card_tells_a_host_what_it_must_know(exported: ExportedGraph, tmp_path: Path) -> None:
    graph = tmp_path / exported.path.name
    graph.write_bytes(exported.path.read_bytes())
    metadata = StreamSession.open(graph).metadata

    card = write_cards(tmp_path, metadata, [replace(exported, path=graph)], None, None)

    facts = card["streams"][graph.name]
    assert facts == json.loads((tmp_path / "card.json").read_text())["streams"][graph.name]
    assert (facts["block"], facts["look_ahead"]) == (320, 128)
    assert f"| {graph.name} | 320 | 128 | 28.0 |" in (tmp_path / "card.md").read_text()


def test_metadata_and_card_name_the_encoder_and_tracker_that_are_in_the_stream(
    exported: ExportedGraph, tmp_path: Path
) -> None:
    metadata = StreamSession.open(exported.path).metadata
    graph = tmp_path / exported.path.name
    graph.write_bytes(exported.path.read_bytes())

    card = write_cards(tmp_path, metadata_of("small"), [replace(exported, path=graph)], None, None)

    assert metadata.encoder == {"id": "random", "version": "1", "seed": 0, "dim": 16, "look_ahead": "short"}
    assert metadata.pitch["id"] == "swift_f0_stream"
    assert metadata.pitch["weights_sha256"] == shipped_hashes()["utils/features/weights/pitch_stream.safetensors"]
    assert metadata.pitch["tracker"] == SwiftPitch().identity
    assert metadata.extra["trained_on"] == {"encoder": {"id": "none"}, "pitch": {"id": "none"}}
    assert card["streams"][graph.name]["encoder"] == metadata.encoder
    assert card["streams"][graph.name]["pitch"] == metadata.pitch
    digest = metadata.pitch["weights_sha256"][:12]
    said = f"encoder is random (look_ahead=short), the pitch tracker swift_f0_stream (weights `{digest}`)."
    assert said in (tmp_path / "card.md").read_text()


@pytest.mark.parametrize(("look_ahead", "said"), [("full", True), ("short", False)])
def test_a_voice_of_the_full_look_ahead_is_warned_about_as_a_stream(
    look_ahead: str, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    stream = StreamingVoice(small_voice())
    short = stream.frontend.encoder_identity
    encoder = short if look_ahead == "short" else {key: short[key] for key in short if key != "look_ahead"}

    stream_metadata(replace(metadata_of("small"), encoder=encoder), stream, FACTS)

    assert ("trained on content.look_ahead=full" in caplog.text) == ("a stream hears" in caplog.text) == said


def test_what_cannot_be_streamed_is_refused_in_one_line() -> None:
    toy = ToyVoice(sample_rate=RATE, n_fft=640, content_dim=16, num_speakers=1)
    with pytest.raises(ExportError, match="ToyVoice cannot convert a stream"):
        StreamingVoice(toy)
    with pytest.raises(ExportError, match=r"no graph for recordings; type export\.flavours=\[stream\]"):
        make_audio_to_audio(SimpleNamespace(model=small_voice(kind=LiteStreamVoice)))  # type: ignore[arg-type]
    frontend = small_voice().frontend
    assert isinstance(frontend, AnalysisFrontend)
    frontend.content_encoder = ForeignContent()
    with pytest.raises(ConfigError, match="content encoder foreign has no form for streams"):
        StreamFrontend(frontend)
    for wrong in (0, 10, 30, 1020):
        with pytest.raises(ConfigError, match=f"stream_block_ms={wrong} is not possible"):
            check_stream_block(wrong)
    assert check_stream_block(int(compose("export", ["run=x"]).export.stream_block_ms)) == 20


class ForeignContent(ContentEncoder):
    @property
    def identity(self) -> dict[str, Any]:
        return {"id": "foreign"}


def test_host_loop_of_the_documentation_runs(
    exported: ExportedGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile

    source = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[0]
    audio = speech_like(RATE, RATE + 77, 3)
    soundfile.write(tmp_path / "input.wav", audio, RATE, subtype="FLOAT")
    name = re.search(r'InferenceSession\("(.*?)"', source)
    assert name is not None
    (tmp_path / name.group(1)).write_bytes(exported.path.read_bytes())
    monkeypatch.chdir(tmp_path)

    exec(compile(source, "streaming.md", "exec"), {})

    converted, _ = soundfile.read(tmp_path / "converted.wav", dtype="float32")
    expected = np.clip(StreamSession.open(exported.path).convert(audio), -1, 1)
    assert np.abs(converted - expected).max() < 1e-6
