"""The live host re-enacted, and the rules that use a graph as it does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.tools.planted_graphs import extra_float, extra_integer, failed, node, verify, with_position, write
from tests.tools.standin_voice import metadata_of
from utils.verification import host_rules
from utils.verification.candidate import Candidate, Extent
from utils.verification.graph_process import RemoteSession
from utils.verification.live_host import LiveHost, numbers_in_name
from utils.voice_file.metadata import METADATA_KEY


def test_an_extra_float_input_is_filled_with_audio_by_the_live_host(tmp_path: Path) -> None:
    path = extra_float(tmp_path)
    block = np.linspace(-0.5, 0.5, 100, dtype=np.float32)

    played = LiveHost(Candidate(path=path).session).process(block)

    assert played.problem is None
    np.testing.assert_allclose(played.samples, np.abs(block) + block, atol=1e-6)


def test_the_live_host_plays_the_dry_voice_when_a_rank_is_wrong(tmp_path: Path) -> None:
    block = np.ones(100, np.float32)

    played = LiveHost(Candidate(path=extra_integer(tmp_path)).session).process(block)

    assert played.is_dry
    assert "the run fails, the dry voice passes" in str(played.problem)
    np.testing.assert_array_equal(played.samples, block)


def test_the_live_host_reads_a_name_token_by_token() -> None:
    assert numbers_in_name(Path("a_sr48000_hop480_nfft1920.onnx")) == {"sr": 48000, "hop": 480, "nfft": 1920}
    assert numbers_in_name(Path("voice.onnx")) == {"sr": 44100, "hop": 512, "nfft": 2048}
    assert numbers_in_name(Path("hope_sr2_SR9_sr3.onnx")) == {"sr": 3, "hop": 512, "nfft": 2048}


@pytest.mark.parametrize(("needs_context", "outcome"), [(False, "FAIL"), (True, "WARN")])
def test_clicks_of_an_architecture_that_needs_context_are_a_warning(
    tmp_path: Path, needs_context: bool, outcome: str
) -> None:
    path = with_position(
        tmp_path, helper.make_node("Less", ["position", "two"], ["start"]),
        helper.make_node("Where", ["start", "click", "zero"], ["clicks"]), node("Add", "sound", "clicks"),
        two=np.float32(1.5), click=np.float32(2.9),
    )  # fmt: skip
    model = onnx.load(str(path))
    described = replace(metadata_of("tiny"), extra={"needs_context": needs_context})
    helper.set_model_props(model, {METADATA_KEY: described.to_json()})
    path.write_bytes(model.SerializeToString())

    check = host_rules.check_seams(Candidate(path=path))

    assert check.outcome == outcome
    assert check.figures["seam_step_db"] > host_rules.SEAM_STEP_DB
    assert ("wants sound around each block" in check.detail) == needs_context


def test_smooth_blocks_of_such_an_architecture_pass_without_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path)
    model = onnx.load(str(path))
    helper.set_model_props(model, {METADATA_KEY: replace(metadata_of("tiny"), extra={"needs_context": True}).to_json()})
    path.write_bytes(model.SerializeToString())

    assert host_rules.check_seams(Candidate(path=path)).outcome == "PASS"


def test_memory_that_grows_with_every_block_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter((100_000_000, 120_000_000))
    monkeypatch.setattr(RemoteSession, "resident_bytes", lambda self: next(readings))

    found = failed(verify(write(tmp_path), extent=Extent(minutes=0, num_blocks=10, listens=False)))

    assert found["voclo, memory over 10 blocks"].startswith("+20.0 MB (allowed 8)")


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
