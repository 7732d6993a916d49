"""Verification finds what passes only now and then: dry blocks, hostile controls, odd files, drifting parity."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper

from benchmarks.old_runtimes import Comparison
from tests.tools.planted_graphs import (
    BLOCKS,
    NAME,
    RATE,
    SHAPE,
    SHORT,
    extra_integer,
    failed,
    node,
    verify,
    with_position,
    write,
)
from tests.tools.standin_voice import metadata_of
from utils.errors import FormatError
from utils.verification import audio_rules, control_rules, file_rules, host_rules
from utils.verification.audio_rules import Case, check_case
from utils.verification.candidate import Candidate, Extent, relative_db
from utils.verification.checks import Check
from utils.verification.signals import speech_like
from utils.verification.suite import check_file
from utils.voice_file.controls import CONTROLS
from utils.voice_file.metadata import METADATA_KEY


def dry_where(folder: Path, condition: str, **limits: float) -> Path:
    """Write a graph that gives the input back while `condition` of the number of samples and `limit` is true."""
    return write(
        folder,
        helper.make_node("Shape", ["sound"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "place"], ["count"]),
        helper.make_node(condition, ["count", "limit"], ["passes"]),
        node("Where", "passes", "finite", "sound"),
        constants={"place": np.int64(limits.pop("place", 1)), "limit": np.int64(limits["limit"])},
    )


@pytest.mark.parametrize(
    ("condition", "limits", "rules"),
    [
        ("Less", {"limit": 20000}, {"voclo, odd sizes", "voclo, seams", *BLOCKS}),
        ("Less", {"limit": 800}, {"voclo, odd sizes"}),
        ("Greater", {"limit": 12 * RATE}, {"0.6 minutes"}),
        ("Greater", {"limit": 1, "place": 0}, {"batch of 3"}),
    ],
    ids=["in every block", "in the shortest blocks", "in long recordings", "in batches"],
)
def test_the_dry_voice_is_found_wherever_it_passes(
    condition: str, limits: dict[str, float], rules: set[str], tmp_path: Path
) -> None:
    path = dry_where(tmp_path, condition, **limits)

    found = failed(verify(path, extent=Extent(minutes=0.6 if "0.6 minutes" in rules else 0, num_blocks=0)))

    assert rules <= set(found), found
    assert all("the unconverted sound comes back (correlation 1.00" in found[rule] for rule in rules), found


def test_trouble_in_the_blocks_of_the_seams_is_told(tmp_path: Path) -> None:
    check = host_rules.check_seams(Candidate(path=extra_integer(tmp_path)))

    assert not check.passed
    assert "the run fails, the dry voice passes" in check.detail


def test_seams_rougher_than_one_piece_are_a_warning_with_the_figure(tmp_path: Path) -> None:
    path = with_position(
        tmp_path, helper.make_node("Less", ["position", "two"], ["start"]),
        helper.make_node("Where", ["start", "click", "zero"], ["clicks"]), node("Add", "sound", "clicks"),
        two=np.float32(1.5), click=np.float32(0.25),
    )  # fmt: skip

    check = host_rules.check_seams(Candidate(path=path))

    assert check.outcome == "WARN", check.detail
    assert check.figures["seam_jump_db"] > host_rules.SEAM_JUMP_DB
    assert check.figures["seam_step_db"] < host_rules.SEAM_STEP_DB
    assert f"{check.figures['seam_jump_db']:+.1f} dB against the steps of one piece" in check.detail
    assert "as with every voice that keeps no state" in check.detail


def with_controls(folder: Path, *last: NodeProto, **constants: Any) -> Path:
    """Write a graph with the five optional inputs, all of them bounded, and nodes from "sound" to "output"."""
    path = write(folder, *last, constants=constants)
    model = onnx.load(str(path))
    for control in CONTROLS:
        kind = TensorProto.INT64 if control.is_integer else TensorProto.FLOAT
        model.graph.input.append(helper.make_tensor_value_info(control.name, kind, []))
        model.graph.initializer.append(helper.make_tensor(control.name, kind, [], [0]))
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("reason", "nodes"),
    [
        (
            "index_rate=1: 2400 of 2400 samples are not finite",
            (
                helper.make_node("Sub", ["most", "index_rate"], ["rest"]),
                helper.make_node("Sqrt", ["rest"], ["root"]),
                helper.make_node("Mul", ["root", "zero"], ["nothing"]),
                node("Add", "sound", "nothing"),
            ),
        ),
        (
            "pitch_shift=nan: 2400 of 2400 samples are not finite",
            (helper.make_node("Mul", ["pitch_shift", "zero"], ["nothing"]), node("Add", "sound", "nothing")),
        ),
        (
            "pitch_shift=1000: peak",
            (
                helper.make_node("IsNaN", ["pitch_shift"], ["bad"]),
                helper.make_node("Where", ["bad", "zero", "pitch_shift"], ["real_shift"]),
                helper.make_node("Clip", ["real_shift", "zero", "thousand"], ["shift"]),
                node("Add", "sound", "shift"),
            ),
        ),
        (
            "speaker_id=2147483647: the run fails: ",
            (
                helper.make_node("Gather", ["table", "speaker_id"], ["row"]),
                node("Add", "sound", "row"),
            ),
        ),
    ],
    ids=["a value within the range", "NaN", "far beyond the range", "speaker"],
)
def test_a_control_that_breaks_the_sound_is_found(reason: str, nodes: tuple[NodeProto, ...], tmp_path: Path) -> None:
    path = with_controls(
        tmp_path, *nodes, most=np.float32(0.75), thousand=np.float32(1e3), table=np.array([0.0, np.nan], np.float32)
    )

    check = control_rules.check_hostile_controls(Candidate(path=path))

    assert not check.passed
    assert reason in check.detail


def test_a_graph_without_controls_skips_their_rule_and_one_of_ours_must_have_them(tmp_path: Path) -> None:
    path = write(tmp_path)
    skipped = control_rules.check_hostile_controls(Candidate(path=path))
    model = onnx.load(str(path))
    helper.set_model_props(model, {METADATA_KEY: metadata_of("tiny").to_json()})
    path.write_bytes(model.SerializeToString())

    check = file_rules.check_inputs(Candidate(path=path))

    assert skipped.outcome == "SKIP"
    assert "no optional scalar input pitch_shift, speaker_id, index_rate, protect, loudness_mix" in check.detail


def sequence_output(folder: Path) -> Path:
    path = write(folder, helper.make_node("SequenceConstruct", ["sound"], ["output"]))
    model = onnx.load(str(path))
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, SHAPE))
    model.graph.output[0].CopyFrom(helper.make_value_info("output", kind))
    onnx.save(model, str(path))
    return path


def string_output(folder: Path) -> Path:
    return write(folder, node("Cast", "sound", to=TensorProto.STRING), output_type=TensorProto.STRING)


def with_metadata(folder: Path, name: str = NAME, **values: Any) -> Path:
    path = write(folder, name=name)
    model = onnx.load(str(path))
    stored = json.loads(metadata_of("tiny").to_json()) | values
    helper.set_model_props(model, {METADATA_KEY: json.dumps(stored)})
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("plant", "reasons"),
    [
        (sequence_output, {"whole file": "its first output output is seq(tensor(float)), no audio"}),
        (string_output, {"whole file": "its first output output is tensor(string), no audio"}),
        (lambda folder: with_metadata(folder, sample_rate="8000"), {"name": "sample_rate is '8000', no multiple"}),
        (lambda folder: with_metadata(folder, sample_rate=0), {"name": "sample_rate is 0, no multiple of 100 from"}),
        (lambda folder: with_metadata(folder, speakers=3), {"name": "speakers is 3, no list of mappings"}),
        (lambda folder: with_metadata(folder, extra=[]), {"name": "extra is [], no mapping"}),
        (
            lambda folder: with_metadata(folder, NAME.replace(".onnx", "_stream.onnx"), extra={"stream": {}}),
            {"name": "extra.stream is {}; it needs block", "stream, signature": "extra.stream is {}; it needs block"},
        ),
    ],
    ids=["sequence", "text", "rate of letters", "rate of zero", "speakers", "extra", "stream without facts"],
)
def test_an_odd_file_fails_in_rows_not_in_a_traceback(
    plant: Callable[[Path], Path], reasons: dict[str, str], tmp_path: Path
) -> None:
    found = failed(verify(plant(tmp_path)))

    for rule, reason in reasons.items():
        assert reason in found[rule], found


def test_whatever_a_rule_raises_is_its_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(candidate: Candidate) -> Check:
        raise KeyError("gone")

    monkeypatch.setattr(audio_rules, "check_latency", broken)
    monkeypatch.setattr(audio_rules, "cases", lambda rate: iter(()))

    assert failed(verify(write(tmp_path))) == {"latency": "KeyError: 'gone'"}
    monkeypatch.setattr(audio_rules, "cases", lambda rate: 1 // 0)
    assert set(failed(verify(write(tmp_path)))) == {"inputs of the rules"}


def test_no_comparison_lets_nan_pass(tmp_path: Path) -> None:
    sound, broken = np.ones((1, 8), np.float32), np.full((1, 8), np.nan, np.float32)

    assert relative_db(broken, sound) == relative_db(sound, broken) == np.inf
    found = failed(verify(write(tmp_path), reference=lambda audio: np.full_like(audio, np.nan)))
    assert "whole file" in found and "inf dB from PyTorch" in found["whole file"]
    assert not Comparison("1.19.2", relative_db(broken, sound), "all").is_near
    assert Comparison("1.19.2", -100.0, "all").is_near


def test_a_file_that_is_no_voice_is_one_line(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["label"])],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.INT64, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, [1, 3, 8, 8])],
    )
    path = tmp_path / "classifier.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))

    with pytest.raises(FormatError, match=r"classifier\.onnx is no voice: it takes image tensor\(int64\)"):
        check_file(Candidate(path=path))
    assert check_file(Candidate(path=write(tmp_path), extent=SHORT)).kind == "audio_to_audio"


class Unsteady:
    """A voice whose answer has a share that the last bit of its input decides, and a graph that is `apart` from it."""

    parity_db = -80.0
    own_change_db = Candidate.own_change_db

    def __init__(self, share: float, apart: float) -> None:
        self.share, self.apart = share, apart

    def reference(self, audio: np.ndarray) -> np.ndarray:
        return audio + np.float32(self.share) * np.sin(1e8 * audio.astype(np.float64)).astype(np.float32)

    def run(self, audio: np.ndarray) -> np.ndarray:
        return self.reference(audio) + np.float32(self.apart) * np.sin(np.arange(audio.shape[1], dtype=np.float32))


@pytest.mark.parametrize(
    ("share", "apart", "words"),
    [
        (0.0, 1e-5, "PyTorch -8"),
        (3e-4, 3e-4, "dB when the last bit of the input changes"),  # no nearer than the voice is to itself
        (0.0, 3e-4, r"allowed -80; itself -1\d\d dB when the last bit"),
        (3e-4, 1e-2, r"allowed -5\d"),
        (0.3, 0.1, "allowed -50"),
    ],
)
def test_limit_of_parity_follows_what_the_voice_makes_of_the_last_bit(share: float, apart: float, words: str) -> None:
    audio = speech_like(RATE, RATE // 4, 1)[None]

    check = check_case(cast(Candidate, Unsteady(share, apart)), Case(name="square", audio=audio, is_sound=False))

    assert check.outcome == ("FAIL" if "allowed" in words else "WARN" if "last bit" in words else "PASS")
    assert re.search(words, check.detail), check.detail
