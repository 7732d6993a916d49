"""The streaming graph keeps its rules, and each planted fault breaks one."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from models.conversion import AudioConverter
from models.lite import LiteStreamVoice
from models.toy import ToyVoice
from tests.tools.standin_voice import metadata_of
from tests.tools.streaming_tools import METADATA_KEY, RATE, export_small_stream, small_converter, small_voice
from utils.audio.resample import RationalResampler
from utils.audio.resample_bands import measure_bands
from utils.config import compose
from utils.errors import ConfigError, ExportError, FormatError
from utils.export.card import write_cards
from utils.export.graph_kinds import ExportedGraph, _bands, make_audio_to_audio, stream_metadata
from utils.export.stream_voice import StreamingVoice
from utils.features.content.base import ContentEncoder
from utils.features.frontend import AnalysisFrontend
from utils.features.pitch.swift import builtin_tracker
from utils.features.stream_frontend import StreamFrontend
from utils.inference.session import VoiceSession
from utils.inference.stream import StreamSession
from utils.shipped import shipped_hashes
from utils.verification import file_rules, suite
from utils.verification.candidate import Candidate, Extent
from utils.verification.job import VerifyJob, run_verification
from utils.verification.kinds import is_stream
from utils.verification.signals import speech_like
from utils.verification.stream_feed import in_blocks, speech_blocks
from utils.verification.stream_rules import check_parity, check_signature, stream_rules
from utils.voice_file.controls import CONTROLS, ControlDefaults
from utils.voice_file.geometry import FileGeometry, check_stream_block
from utils.voice_file.metadata import StreamFacts, metadata_from_json
from utils.voice_file.names import is_stream_file, parse_file_name
from utils.voice_file.runtime import open_session

FACTS = StreamFacts(block=320, look_ahead=128, state_size=1, latency_ms=28.0)
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "tutorials" / "live.md"


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


def nan_while(name: str, place: int) -> Callable[..., Any]:
    """Return a change that lets NaN of a control into the output (0) or the state (1)."""

    def change(names: Any, feed: Any, run: Any) -> Any:
        shift = feed.get(name, np.float32(0))
        clean = {key: value for key, value in feed.items() if key != name or np.isfinite(value)}
        answers = run(names, {**clean, "state": np.nan_to_num(clean["state"])})
        with np.errstate(invalid="ignore"):
            answers[place] = answers[place] + 0 * shift
        return answers

    return change


def deaf_to(*names_of_controls: str) -> Callable[..., Any]:
    def change(names: Any, feed: Any, run: Any) -> Any:
        return run(names, {key: value for key, value in feed.items() if key not in names_of_controls})

    return change


def other_default(names: Any, feed: Any, run: Any) -> Any:
    return run(names, {"loudness_mix": np.array(0.5, np.float32), **feed})


def louder_when_shifted(names: Any, feed: Any, run: Any) -> Any:
    output, state = run(names, feed)
    return output * np.float32(1.01 if "pitch_shift" in feed else 1), state


def louder_in_recordings(names: Any, feed: Any, run: Any) -> Any:
    output, state = run(names, feed)
    return output * np.float32(1.01 if np.abs(feed["audio"]).max() > 0.995 else 1), state


def nan_after_speech(names: Any, feed: Any, run: Any) -> Any:
    output, state = run(names, feed)
    has_heard = bool(np.abs(feed["state"]).max() > 0) and not feed["audio"].any()
    return output + np.float32(np.nan if has_heard else 0), state


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
    ("NaN of a control passes", nan_while("pitch_shift", 0), {}, {"stream, hostile controls"}),
    ("NaN of a control stays", nan_while("loudness_mix", 1), {}, {"stream, hostile controls"}),
    ("deaf to the level", deaf_to("loudness_mix"), {}, {"stream, controls take effect"}),
    ("no protection", deaf_to("protect"), {}, {"stream, controls take effect"}),
    ("other defaults", other_default, {}, {"stream, defaults"}),
    ("other sound when controlled", louder_when_shifted, {}, {"stream, blocks against one piece"}),
    ("other sound of recordings", louder_in_recordings, {}, {"stream, blocks against one piece"}),
    ("NaN after speech", nan_after_speech, {}, {"stream, silence"}),
    ("other latency", nothing, {"look_ahead": 20}, {"stream, latency"}),
    ("too late", nothing, {"look_ahead": 300}, {"stream, signature", "stream, latency"}),
    ("other block", nothing, {"block": 640}, {name for name, _ in stream_rules()} - {"stream, endurance"}),
]


@pytest.mark.parametrize(("change", "facts", "caught"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_planted_faults_are_caught(
    exported: ExportedGraph, change: Callable[..., Any], facts: dict[str, Any], caught: set[str]
) -> None:
    import torch

    from tests.tools.streaming_tools import DEFAULTS
    from utils.export.graph import control_tensors

    stream = StreamingVoice(small_converter())

    def steered(audio: np.ndarray, values: ControlDefaults) -> np.ndarray:
        made: np.ndarray = stream.whole(torch.from_numpy(audio), *control_tensors(values)).numpy()
        return made

    candidate = Candidate(
        path=exported.path,
        extent=Extent(minutes=0, num_blocks=0),
        reference=lambda audio: steered(audio, DEFAULTS),
        steered=steered,
        idle_controls=frozenset(),
        recordings=(np.clip(8 * speech_like(RATE, RATE // 2, 5), -1, 1),),
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
    guarded, bare = (stream.convert(audio, {"index_rate": 1.0, "protect": value}) for value in (0.0, 0.5))
    assert not np.allclose(guarded, bare, atol=1e-4)


def test_impossible_values_of_a_stream_count_as_what_is_documented(exported: ExportedGraph) -> None:
    stream = StreamSession.open(exported.path)
    audio = speech_like(RATE, RATE // 2, 2)
    plain = stream.convert(audio)

    for control in CONTROLS:
        if not control.is_integer:
            np.testing.assert_array_equal(stream.convert(audio, {control.name: np.nan}), plain)
            for given, counts in ((1e6, control.high), (np.inf, control.high), (-np.inf, control.low)):
                found, wanted = (stream.convert(audio, {control.name: value}) for value in (given, counts))
                np.testing.assert_array_equal(found, wanted)


def edited(exported: ExportedGraph, folder: Path, change: Callable[[onnx.ModelProto], None]) -> Candidate:
    model = onnx.load(str(exported.path))
    change(model)
    onnx.save(model, str(folder / exported.path.name))
    return Candidate(path=folder / exported.path.name, extent=Extent(minutes=0, num_blocks=0))


def test_a_lost_control_is_found(exported: ExportedGraph, tmp_path: Path) -> None:
    def lose(model: onnx.ModelProto) -> None:
        model.graph.input.remove(next(value for value in model.graph.input if value.name == "loudness_mix"))

    check = check_signature(edited(exported, tmp_path, lose))

    assert not check.passed
    assert "no optional scalar input loudness_mix" in check.detail


def test_an_extra_float_input_is_found(exported: ExportedGraph, tmp_path: Path) -> None:
    def extend(model: onnx.ModelProto) -> None:
        model.graph.input.append(helper.make_tensor_value_info("noise", TensorProto.FLOAT, [1, 320]))

    checks = suite.check_conformance(edited(exported, tmp_path, extend))

    details = {check.name: check.detail for check in checks if not check.passed}
    assert "noise tensor(float) [1, 320]" in details["stream, signature"]


def test_weights_of_a_stream_in_another_file_are_found(exported: ExportedGraph, tmp_path: Path) -> None:
    model = onnx.load(str(exported.path))
    path = tmp_path / exported.path.name
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)

    check = file_rules.check_file(Candidate(path=path))

    assert not check.passed
    assert "in another file (" in check.detail


def test_a_wrong_name_of_a_stream_is_found_and_its_rules_are_those_of_streams(
    exported: ExportedGraph, tmp_path: Path
) -> None:
    others = ("small_sr48000_hop480_nfft1920_stream.onnx", "small_sr16000_hop160_nfft640.onnx")
    paths = [tmp_path / name for name in others]
    for path in paths:
        path.write_bytes(exported.path.read_bytes())

    rate, kind = (file_rules.check_name(Candidate(path=path)) for path in paths)

    assert "sr48000 in the name, 16000 inside" in rate.detail and not rate.passed
    assert "streams end in _stream.onnx" in kind.detail and not kind.passed
    assert is_stream(Candidate(path=paths[1]))


def test_limit_of_a_stream_is_taken_literally_when_it_is_stricter(exported: ExportedGraph) -> None:
    candidate = Candidate(path=exported.path)
    stream = StreamSession.open(exported.path)

    def reference(audio: np.ndarray) -> np.ndarray:
        stream.reset()
        return 1.0003 * in_blocks(stream, audio[0])[None]

    outcomes = {
        limit: check_parity(replace(candidate, reference=reference, parity_db=limit)) for limit in (-80, -100, -20)
    }

    assert [check.outcome for check in outcomes.values()] == ["PASS", "FAIL", "PASS"]
    assert "(allowed -60)" in outcomes[-80].detail
    assert "(allowed -100;" in outcomes[-100].detail
    assert "(allowed -20)" in outcomes[-20].detail


def test_sound_for_a_rule_fills_two_blocks_of_any_length(exported: ExportedGraph) -> None:
    stream = StreamSession.open(exported.path)
    stream.facts = replace(stream.facts, block=RATE)

    assert len(speech_blocks(Candidate(path=exported.path), stream, 0.4, 1)) == 2 * RATE


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
    assert metadata.pitch["tracker"] == builtin_tracker().identity
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
    stream = StreamingVoice(small_converter())
    short = stream.frontend.encoder_identity
    encoder = short if look_ahead == "short" else {key: short[key] for key in short if key != "look_ahead"}

    stream_metadata(replace(metadata_of("small"), encoder=encoder), stream, FACTS)

    assert ("trained on content.look_ahead=full" in caplog.text) == ("a stream hears" in caplog.text) == said


def test_card_of_streams_alone_shows_a_loop_that_runs(
    exported: ExportedGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile

    graph = tmp_path / exported.path.name
    graph.write_bytes(exported.path.read_bytes())
    audio = speech_like(RATE, RATE + 77, 3)
    soundfile.write(tmp_path / "input.wav", audio, RATE, subtype="FLOAT")
    monkeypatch.chdir(tmp_path)

    write_cards(tmp_path, StreamSession.open(graph).metadata, [replace(exported, path=graph)], None, None)

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

    card = write_cards(tmp_path, StreamSession.open(exported.path).metadata, graphs, None, None)

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


def test_a_stream_records_the_bands_of_its_own_kernels(tmp_path: Path) -> None:
    graph = StreamingVoice(small_converter(48000))

    bands = _bands(graph.frontend.resampler.resampler, graph.resampler.resampler)

    assert [(item.source_rate, item.target_rate) for item in bands] == [(48000, 16000), (16000, 48000)]
    assert all(item.stop_band_hz > 1.01 * 8000 for item in bands)
    assert _bands(RationalResampler(16000, 16000), None) == ()


def test_what_cannot_be_streamed_is_refused_in_one_line() -> None:
    toy = ToyVoice(sample_rate=RATE, n_fft=640, content_dim=16, num_speakers=1)
    with pytest.raises(ExportError, match="ToyVoice cannot convert a stream"):
        StreamingVoice(AudioConverter(toy, small_converter().frontend, None, RationalResampler(RATE, RATE)))
    with pytest.raises(ExportError, match=r"no graph for recordings; type export\.flavours=\[stream\]"):
        make_audio_to_audio(SimpleNamespace(model=small_voice(kind=LiteStreamVoice)))  # type: ignore[arg-type]
    frontend = small_converter().frontend
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
    soundfile.write(tmp_path / "song.wav", audio, RATE, subtype="FLOAT")
    name = re.search(r'InferenceSession\("(.*?)"', source)
    assert name is not None
    place = tmp_path / name.group(1)
    place.parent.mkdir(parents=True)
    place.write_bytes(exported.path.read_bytes())
    monkeypatch.chdir(tmp_path)

    exec(compile(source, "live.md", "exec"), {})

    converted, _ = soundfile.read(tmp_path / "streamed.wav", dtype="float32")
    expected = np.clip(StreamSession.open(exported.path).convert(audio), -1, 1)
    assert np.abs(converted - expected).max() < 1e-6
