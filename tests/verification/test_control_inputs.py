"""Graphs whose controls are required inputs, for runtimes that cannot set an input with a default."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.tools.planted_graphs import failed, verify
from tests.tools.standin_voice import StandIn, export_standin, metadata_of
from utils.errors import FormatError
from utils.export.tracing import GraphOptions
from utils.inference import VoiceSession
from utils.verification.candidate import Candidate, Extent
from utils.verification.signals import speech_like
from utils.voice_file.controls import CONTROLS
from utils.voice_file.metadata import METADATA_KEY
from utils.voice_file.runtime import open_session

NAMES = [control.name for control in CONTROLS]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return export_standin(tmp_path_factory.mktemp("graph"), options=GraphOptions(controls_as_inputs=True))


def test_every_control_is_a_required_input(exported: StandIn) -> None:
    session = open_session(exported.path)

    assert [value.name for value in session.get_inputs()] == ["audio", *NAMES]
    assert session.get_overridable_initializers() == []


def test_such_a_graph_passes_every_rule_beside_pytorch(exported: StandIn) -> None:
    checks = exported.verify()

    assert failed(checks) == {}
    row = next(check for check in checks if check.name == "control inputs")
    assert not row.is_skipped and "pitch_shift" in row.detail


@pytest.mark.slow
def test_a_usual_graph_has_no_row_about_control_inputs(tmp_path: Path) -> None:
    path = export_standin(tmp_path).path

    assert "control inputs" not in {check.name for check in verify(path)}


@pytest.mark.slow
def test_a_file_that_states_required_controls_and_has_defaults_fails(exported: StandIn, tmp_path: Path) -> None:
    graph = onnx.load(str(exported.path))
    graph.graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "pitch_shift"))
    path = tmp_path / exported.path.name
    onnx.save(graph, str(path))

    assert "control inputs" in failed(verify(path))


@pytest.mark.slow
def test_a_file_whose_nan_is_not_its_default_fails(exported: StandIn, tmp_path: Path) -> None:
    graph = onnx.load(str(exported.path))
    stated = metadata_of()
    stated.extra["controls"] = "inputs"
    stated.defaults["loudness_mix"] = 0.25
    onnx.helper.set_model_props(graph, {METADATA_KEY: stated.to_json()})
    path = tmp_path / exported.path.name
    onnx.save(graph, str(path))

    assert "NaN for loudness_mix" in failed(verify(path))["control inputs"]


def test_required_controls_that_the_file_does_not_state_still_fail(exported: StandIn, tmp_path: Path) -> None:
    graph = onnx.load(str(exported.path))
    onnx.helper.set_model_props(graph, {METADATA_KEY: metadata_of().to_json()})
    path = tmp_path / exported.path.name
    onnx.save(graph, str(path))

    assert "required input" in failed(verify(path))
    with pytest.raises(FormatError, match="it requires"):
        VoiceSession.open(path)


def test_a_session_gives_what_the_usual_file_gives(exported: StandIn, tmp_path: Path) -> None:
    usual = Candidate(path=export_standin(tmp_path).path, extent=Extent(minutes=0, num_blocks=0, listens=False))
    audio = speech_like(8000, 4000, 1)
    session = VoiceSession.open(exported.path)

    np.testing.assert_array_equal(session.run(audio), usual.convert(audio))
    np.testing.assert_array_equal(session.run(audio, {"pitch_shift": 3.0}), usual.convert(audio, {"pitch_shift": 3.0}))
    assert [value.name for value in session.overridable] == NAMES
    session.check_controls({"pitch_shift": 3.0})
