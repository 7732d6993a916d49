"""Verification finds what passes only now and then: dry blocks, hostile controls, odd files, drifting parity."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.tools.planted_graphs import (
    BLOCKS,
    NAME,
    RATE,
    SHAPE,
    failed,
    node,
    reference_of,
    verify,
    write,
)
from tests.tools.standin_voice import metadata_of
from utils.errors import FormatError
from utils.verification import rules
from utils.verification.audio_rules import check_case
from utils.verification.candidate import Candidate, Extent
from utils.verification.cases import Case
from utils.verification.checks import Check
from utils.verification.measures import relative_db
from utils.verification.rules import WHOLE, Rule
from utils.verification.signals import speech_like
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

    found = failed(
        verify(path, extent=Extent(minutes=0.6 if "0.6 minutes" in rules else 0, num_blocks=0, listens=False))
    )

    assert rules <= set(found), found
    assert all("the unconverted sound comes back (correlation 1.00" in found[rule] for rule in rules), found


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


@pytest.mark.slow
def test_whatever_a_rule_raises_is_its_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(candidate: Candidate) -> Check:
        raise KeyError("gone")

    silent = Case(name="no audio", audio=lambda rate: np.zeros((1, rate // 0)))
    planted = (
        Rule("latency", WHOLE, lambda candidate, reference: broken(candidate), False, ""),
        Rule(silent.name, WHOLE, partial(check_case, case=silent), False, ""),
    )
    monkeypatch.setattr(rules, "RULES", (*planted, *rules.RULES))

    assert failed(verify(write(tmp_path))) == {
        "latency": "KeyError: 'gone'",
        "no audio": "ZeroDivisionError: integer division or modulo by zero",
    }


@pytest.mark.slow
def test_no_comparison_lets_nan_pass(tmp_path: Path) -> None:
    sound, broken = np.ones((1, 8), np.float32), np.full((1, 8), np.nan, np.float32)

    assert relative_db(broken, sound) == relative_db(sound, broken) == np.inf
    found = failed(verify(write(tmp_path), reference_of(lambda audio: np.full_like(audio, np.nan))))
    assert {"parity with PyTorch", "whole file"} <= set(found) and "inf dB from PyTorch" in found["whole file"]


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
        rules.verify(Candidate(path=path))
    assert Candidate(path=write(tmp_path)).kind == "audio_to_audio"


class Unsteady:
    """A voice whose answer has a share that the last bit of its input decides, and a graph that is `apart` from it."""

    sample_rate = RATE

    def __init__(self, share: float, apart: float) -> None:
        self.share, self.apart = share, apart

    def convert(self, audio: np.ndarray) -> np.ndarray:
        return audio + np.float32(self.share) * np.sin(1e8 * audio.astype(np.float64)).astype(np.float32)

    def run(self, audio: np.ndarray) -> np.ndarray:
        return self.convert(audio) + np.float32(self.apart) * np.sin(np.arange(audio.shape[1], dtype=np.float32))


@pytest.mark.parametrize(
    ("share", "apart", "words"),
    [
        (0.0, 1e-5, "PyTorch -8"),
        (3e-4, 3e-4, "dB when the last bit of its input or weights changes"),  # no nearer than the voice is to itself
        (0.0, 3e-4, r"allowed -80; itself -1\d\d dB when the last bit"),
        (3e-4, 1e-2, r"allowed -5\d"),
        (0.3, 0.1, "allowed -50"),
    ],
)
def test_limit_of_parity_follows_what_the_voice_makes_of_the_last_bit(share: float, apart: float, words: str) -> None:
    voice = Unsteady(share, apart)
    case = Case(name="square", audio=lambda rate: speech_like(rate, rate // 4, 1)[None])

    check = check_case(cast(Candidate, voice), reference_of(voice.convert), case=case)

    assert check.outcome == ("FAIL" if "allowed" in words else "WARN" if "last bit" in words else "PASS")
    assert re.search(words, check.detail), check.detail
