"""Rules of streams: each planted fault breaks its rule."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tests.tools.streaming_tools import DEFAULTS, METADATA_KEY, RATE, small_converter
from utils.config.test_model import verify_job
from utils.export.graph_kinds import ExportedGraph
from utils.export.reference import voice_reference
from utils.export.stream_graph import stream_converter
from utils.verification import file_rules, rules
from utils.verification.candidate import Candidate, Extent
from utils.verification.parity_rules import check_stream_parity
from utils.verification.report import run_verification
from utils.verification.signals import speech_like
from utils.verification.stream_rules import check_signature
from utils.voice_file.controls import ControlDefaults
from utils.voice_file.kinds import STREAM
from utils.voice_file.metadata import metadata_from_json
from utils.voice_file.runtime import open_session

pytestmark = pytest.mark.slow  # makes and tries whole graphs

OF_FILES = {"file", "loading", "name", "metadata", "files beside it"}
OF_STREAMS = {rule.name for rule in rules.RULES if STREAM in rule.kinds} - OF_FILES - rules.LISTENING
OF_STREAMS -= {rules.CONTROL_INPUTS.name}  # only of a file that states them


@pytest.fixture(scope="module")
def exported(small_stream: ExportedGraph) -> ExportedGraph:
    return small_stream


def test_verify_tries_the_rules_of_streams_on_the_file_alone(
    exported: ExportedGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"file", "loading", "name", "length rule", "stream, signature", "stream, fresh start"}
    monkeypatch.setattr(rules, "RULES", [rule for rule in rules.RULES if rule.name in chosen])
    places = {"verify": str(exported.path), "report": str(tmp_path / "r.json")}
    job = verify_job(["verify=x", "verify_minutes=0", "verify_blocks=0"]).with_values(places)

    report = run_verification(job)

    assert report["passed"]
    names = ["file", "loading", "name", "stream, signature", "stream, fresh start"]
    assert [row["name"] for row in report["checks"]] == names
    assert report["kind"] == "stream"


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
    ("NaN of a control passes", nan_while("pitch_shift", 0), {}, {"hostile controls"}),
    ("NaN of a control stays", nan_while("loudness_mix", 1), {}, {"hostile controls"}),
    ("deaf to the level", deaf_to("loudness_mix"), {}, {"controls take effect"}),
    ("no protection", deaf_to("protect"), {}, {"controls take effect"}),
    ("other defaults", other_default, {}, {"defaults"}),
    ("other sound when controlled", louder_when_shifted, {}, {"stream, blocks against one piece"}),
    ("other sound of recordings", louder_in_recordings, {}, {"stream, blocks against one piece"}),
    ("NaN after speech", nan_after_speech, {}, {"stream, silence"}),
    ("other latency", nothing, {"look_ahead": 20}, {"stream, latency"}),
    ("too late", nothing, {"look_ahead": 300}, {"stream, signature", "stream, latency"}),
    ("other block", nothing, {"block": 640}, OF_STREAMS - {"stream, endurance"}),
]


@pytest.mark.parametrize(("change", "facts", "caught"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_planted_faults_are_caught(
    exported: ExportedGraph, change: Callable[..., Any], facts: dict[str, Any], caught: set[str]
) -> None:
    voice = small_converter(defaults=DEFAULTS)
    reference = voice_reference(
        voice,
        defaults=DEFAULTS,
        tolerance=1e-4,
        recordings=(np.clip(8 * speech_like(RATE, RATE // 2, 5), -1, 1),),
        convert=stream_converter(voice).whole,
    )
    candidate = Candidate(path=exported.path, extent=Extent(minutes=0, num_blocks=0, listens=False))
    candidate.__dict__["session"] = Tampered(open_session(exported.path), change, facts)
    tried = [rule for rule in rules.RULES if STREAM in rule.kinds and rule.name in caught]

    failed = {rule.name for rule in tried if not rule.outcome(candidate, reference).passed}

    assert failed == caught


def edited(exported: ExportedGraph, folder: Path, change: Callable[[onnx.ModelProto], None]) -> Candidate:
    model = onnx.load(str(exported.path))
    change(model)
    onnx.save(model, str(folder / exported.path.name))
    return Candidate(path=folder / exported.path.name, extent=Extent(minutes=0, num_blocks=0, listens=False))


def test_a_lost_control_is_found(exported: ExportedGraph, tmp_path: Path) -> None:
    def lose(model: onnx.ModelProto) -> None:
        model.graph.input.remove(next(value for value in model.graph.input if value.name == "loudness_mix"))

    check = check_signature(edited(exported, tmp_path, lose))

    assert not check.passed
    assert "no optional scalar input loudness_mix" in check.detail


def test_an_extra_float_input_is_found(exported: ExportedGraph, tmp_path: Path) -> None:
    def extend(model: onnx.ModelProto) -> None:
        model.graph.input.append(helper.make_tensor_value_info("noise", TensorProto.FLOAT, [1, 320]))

    checks = rules.verify(edited(exported, tmp_path, extend))

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
    assert Candidate(path=paths[1]).kind == STREAM


def test_limit_of_a_stream_is_taken_literally_when_it_is_stricter(exported: ExportedGraph) -> None:
    candidate = Candidate(path=exported.path)

    def louder(audio: np.ndarray, values: ControlDefaults) -> np.ndarray:
        return 1.0003 * candidate.convert(audio[0], {} if values == DEFAULTS else asdict(values))[None]

    reference = replace(voice_reference(small_converter(), defaults=DEFAULTS, tolerance=1e-4), convert=louder)

    outcomes = {
        limit: check_stream_parity(candidate, replace(reference, parity_db=limit)) for limit in (-80, -100, -20)
    }

    assert [check.outcome for check in outcomes.values()] == ["PASS", "FAIL", "PASS"]
    assert "(allowed -60)" in outcomes[-80].detail
    assert "(allowed -100;" in outcomes[-100].detail
    assert "(allowed -20)" in outcomes[-20].detail


def test_sound_for_a_rule_fills_two_blocks_of_any_length(
    exported: ExportedGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = Candidate(path=exported.path)
    long_blocks = SimpleNamespace(facts=SimpleNamespace(block=RATE))
    monkeypatch.setattr(Candidate, "new_stream", lambda self: long_blocks)

    assert len(candidate.speech(0.4, 1)) == 2 * RATE
