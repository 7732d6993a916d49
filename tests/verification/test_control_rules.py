"""The optional inputs: hostile values, defaults, effects."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, helper

from tests.tools.planted_graphs import node, with_controls, write
from tests.tools.standin_voice import metadata_of
from utils.verification import control_rules, file_rules
from utils.verification.candidate import Candidate
from utils.voice_file.metadata import METADATA_KEY


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
