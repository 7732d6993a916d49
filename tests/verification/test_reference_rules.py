"""Rules beside the PyTorch voice that a graph was made from: each finds its defect."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from tests.tools.planted_graphs import failed, node, with_controls
from tests.tools.standin_voice import RATE, Changed, StandIn, StandInVoice, export_standin
from utils.export.reference import shaken
from utils.export.tracing import GraphOptions
from utils.verification.audio_rules import check_batch
from utils.verification.candidate import Candidate
from utils.verification.control_rules import check_effects
from utils.verification.file_rules import (
    check_consistency,
    check_file,
    check_inputs,
    check_metadata,
    check_output,
    check_simplifier,
)
from utils.verification.parity_rules import check_parity
from utils.verification.reference import Reference
from utils.verification.rules import RULES
from utils.verification.signals import hostile, speech_like
from utils.voice_file.controls import ControlDefaults
from utils.voice_file.signature import AUDIO_INPUT


class KeepsPitch(nn.Module):
    """Takes a pitch shift and does nothing with it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = StandInVoice()

    def forward(self, audio: Tensor, pitch_shift: Tensor, *others: Tensor) -> Tensor:
        return self.inner(audio, 0.0 * pitch_shift, *others)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return export_standin(tmp_path_factory.mktemp("graph"))


@pytest.mark.slow
def test_the_other_exporter_passes_every_rule_too(tmp_path: Path) -> None:
    exported = export_standin(tmp_path, options=GraphOptions(exporter="dynamo", opset=18))

    assert failed(exported.verify()) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "voice"),
    [
        ("length rule", Changed(lambda output, audio, shift: output[:, :-1])),
        ("silence", Changed(lambda output, audio, shift: output + 0.01)),
        ("finite output", Changed(lambda output, audio, shift: output + 0.0 * audio)),
        ("not the dry signal", Changed(lambda output, audio, shift: audio + 0.0 * output)),
        ("batch rows independent", Changed(lambda output, audio, shift: output + output.mean(0, keepdim=True))),
        ("file", Changed(lambda output, audio, shift: output + 1e-3 * torch.randn_like(output))),
        ("controls take effect", KeepsPitch()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_defect_is_found_by_its_rule(rule: str, voice: nn.Module, tmp_path: Path) -> None:
    assert rule in failed(export_standin(tmp_path, voice).verify())


class BreaksAtFullRate(nn.Module):
    """A stand-in that is NaN while index_rate is above 0.75."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = StandInVoice()

    def forward(self, audio: Tensor, pitch_shift: Tensor, speaker: Tensor, rate: Tensor, *rest: Tensor) -> Tensor:
        made = self.inner(audio, pitch_shift, speaker, rate, *rest)
        return made + 0.0 * torch.sqrt(0.75 - rate)


def test_nan_at_a_value_of_a_control_is_found_also_where_pytorch_has_it_too(tmp_path: Path) -> None:
    exported = export_standin(tmp_path, BreaksAtFullRate())
    effects = next(rule for rule in RULES if rule.name == "controls take effect")

    for voice in (exported.voice, StandInVoice()):
        reference = replace(exported, voice=voice).reference
        controls, parity = effects.outcome(exported.candidate, reference), check_parity(exported.candidate, reference)
        assert not controls.passed and not parity.passed
        assert "not finite at one of its values: index_rate, protect" in controls.detail
        assert "with pitch_shift=-3.5, speaker_id=1, index_rate=1" in parity.detail
        assert controls.figures.keys() == {"effect_pitch_shift", "effect_speaker_id", "effect_loudness_mix"}


def test_a_row_that_turns_nan_beside_a_broken_one_is_found(tmp_path: Path) -> None:
    def leak(output: Tensor, audio: Tensor, shift: Tensor) -> Tensor:
        return output + 0.0 * audio.sum(0, keepdim=True)

    exported = export_standin(tmp_path, Changed(leak))

    check = check_batch(exported.candidate, exported.reference)

    assert not check.passed
    assert "differs by inf dB" in check.detail


def test_a_stricter_parity_is_asked_of_the_rows_of_a_batch_too(exported: StandIn) -> None:
    strict = replace(exported.reference, parity_db=-300.0)

    assert check_batch(exported.candidate, exported.reference).passed
    assert "(allowed -300)" in check_batch(exported.candidate, strict).detail


def test_parity_that_only_the_last_bit_excuses_is_a_warning(exported: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reference, "own_change_db", lambda self, audio, controls: -60.0)
    reference = exported.reference
    quieter = replace(reference, convert=lambda audio, values: reference.convert(audio, values) / np.float32(1.0003))

    check = check_parity(exported.candidate, quieter)

    assert check.outcome == "WARN"
    assert "the voice itself moves by -60 dB" in check.detail


class Steep(nn.Module):
    """A voice whose level follows a weight so steeply that the weight's last bit is heard."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, audio: Tensor) -> Tensor:
        return audio * (1 + 1e3 * (self.weight - 1))


def test_the_last_bit_of_a_weight_counts_as_that_of_an_input_and_no_more_does() -> None:
    voice = Steep().requires_grad_(False)
    reference = Reference(
        convert=lambda audio, controls: voice(torch.from_numpy(audio)).numpy(),
        defaults=ControlDefaults(),
        sample_rate=RATE,
        num_speakers=1,
        idle_controls=frozenset(),
    )
    audio = speech_like(RATE, RATE // 10, 0)[None]
    voice.weight.fill_(1.01)  # the numbers beside 1.01 are 1.2e-7 off on either side

    of_input = reference.own_change_db(audio)
    of_weights = replace(reference, shaken=partial(shaken, voice)).own_change_db(audio)

    assert of_input < -110
    assert of_weights == pytest.approx(20 * np.log10(1e3 * 1.19e-7 / 11), abs=0.5)
    assert voice.weight.item() == np.float32(1.01)


def test_a_voice_without_pitch_may_ignore_the_shift_and_no_other_control(tmp_path: Path) -> None:
    exported = export_standin(tmp_path, KeepsPitch())
    without_pitch = replace(exported, idle_controls=frozenset({"pitch_shift"}))

    check = check_effects(exported.candidate, without_pitch.reference)

    assert check.passed and "nothing to act on: pitch_shift" in check.detail
    assert not check_effects(exported.candidate, exported.reference).passed


class KeepsContent(nn.Module):
    """Takes index_rate and protect and does nothing with them, as a voice that does not listen to its content yet."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = StandInVoice()

    def forward(
        self, audio: Tensor, pitch: Tensor, speaker: Tensor, rate: Tensor, protect: Tensor, *rest: Tensor
    ) -> Tensor:
        return self.inner(audio, pitch, speaker, 0.5 + 0.0 * rate, 0.0 * protect, *rest)


def test_what_the_voice_has_not_learnt_is_a_warning_and_what_the_export_lost_a_failure(tmp_path: Path) -> None:
    exported = export_standin(tmp_path, KeepsContent())

    check = check_effects(exported.candidate, exported.reference)
    lost = check_effects(exported.candidate, replace(exported, voice=StandInVoice()).reference)

    assert check.outcome == "WARN" and "does not listen to: index_rate, protect" in check.detail
    assert lost.outcome == "FAIL" and "no effect: index_rate; no effect: protect" in lost.detail


def to_the_limit(output: Tensor, audio: Tensor, shift: Tensor) -> Tensor:
    return torch.tanh(1000.0 * output)


def a_hundredth_of_a_second_late(output: Tensor, audio: Tensor, shift: Tensor) -> Tensor:
    return torch.roll(output, RATE // 100, dims=1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [(to_the_limit, "level does not follow the input's"), (a_hundredth_of_a_second_late, "ms; allowed: 1")],
    ids=["no level", "late"],
)
def test_a_delay_is_excused_where_neither_voice_nor_graph_has_a_level_to_follow(
    change: Callable[[Tensor, Tensor, Tensor], Tensor], reason: str, tmp_path: Path
) -> None:
    exported = export_standin(tmp_path, Changed(change))
    latency = next(rule for rule in RULES if rule.name == "latency")

    both = latency.outcome(exported.candidate, exported.reference)
    graph = latency.outcome(exported.candidate, replace(exported, voice=StandInVoice()).reference)
    alone = latency.outcome(exported.candidate, None)

    assert both.outcome == ("WARN" if change is to_the_limit else "FAIL")
    assert both.is_unjudged == (change is to_the_limit)
    assert graph.outcome == alone.outcome == "FAIL"
    for check in (both, graph, alone):
        assert reason in check.detail


def test_a_graph_of_another_module_fails_parity(exported: StandIn) -> None:
    other = StandInVoice()
    with torch.no_grad():
        other.project.weight += 0.05

    assert not check_parity(exported.candidate, replace(exported, voice=other).reference).passed


def test_a_length_frozen_in_tracing_is_found(tmp_path: Path) -> None:
    def freeze(output: Tensor, audio: Tensor, shift: Tensor) -> Tensor:
        return output[:, : int(audio.shape[1])]  # a Python number is a constant of the trace

    exported = export_standin(tmp_path, Changed(freeze))

    assert not check_parity(exported.candidate, exported.reference).passed


def test_an_unknown_operator_domain_is_found(tmp_path: Path) -> None:
    node = helper.make_node("Gelu", [AUDIO_INPUT], ["output"], domain="com.microsoft")
    shape = ["batch", "time"]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(AUDIO_INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "x.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets), str(path))

    check = check_file(Candidate(path=path))

    assert not check.passed
    assert "com.microsoft.Gelu" in check.detail


def test_an_operator_set_that_nothing_uses_is_a_fault_of_an_export_alone(exported: StandIn, tmp_path: Path) -> None:
    model = onnx.load(str(exported.path))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    path = tmp_path / exported.path.name
    onnx.save(model, str(path))

    check = check_file(Candidate(path=path), exported.reference)

    assert "operator sets of com.microsoft" in check.detail and not check.passed
    assert check_file(Candidate(path=path)).passed


def test_a_file_with_other_optional_inputs_axes_or_metadata_is_no_export_of_ours(
    exported: StandIn, tmp_path: Path
) -> None:
    model = onnx.load(str(exported.path))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "samples"
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "rows"
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, []))
    model.graph.initializer.append(helper.make_tensor("more", TensorProto.FLOAT, [], [0.0]))
    del model.metadata_props[:]
    path = tmp_path / exported.path.name
    onnx.save(model, str(path))
    candidate = Candidate(path=path)

    rules = (check_inputs, check_output, check_metadata)
    inputs, output, metadata = (rule(candidate, exported.reference) for rule in rules)

    assert "optional inputs differ from those of this workbench in more" in inputs.detail
    assert "the axes of audio are ['batch', 'samples'] instead of [batch, time]" in inputs.detail
    assert "the axes of output are ['rows', 'time'] instead of [batch, time]" in output.detail
    assert metadata.detail == "key 'voclo_trainer' is missing"
    assert not (inputs.passed or output.passed or metadata.passed)
    assert [rule(candidate).outcome for rule in rules] == ["FAIL", "PASS", "SKIP"]
    assert check_inputs(candidate).detail == "optional input more, which no program knows"


def test_metadata_that_describes_another_voice_is_found(exported: StandIn) -> None:
    other = replace(exported.reference, num_speakers=3, sample_rate=48000)

    check = check_metadata(exported.candidate, other)

    assert check.detail == "2 speaker(s); the voice has 3; 8000 Hz; the graph was made for 48000"
    assert check_metadata(exported.candidate, exported.reference).passed


def test_what_the_checker_of_onnx_refuses_is_found(exported: StandIn, tmp_path: Path) -> None:
    model = onnx.load(str(exported.path))
    model.graph.node[0].attribute.append(helper.make_attribute("of no operator", 1))
    path = tmp_path / exported.path.name
    path.write_bytes(model.SerializeToString())

    check = check_consistency(Candidate(path=path), exported.reference)

    assert "Unrecognized attribute: of no operator" in check.detail and not check.passed


def test_a_control_that_the_simplifier_would_drop_is_found(tmp_path: Path) -> None:
    path = with_controls(tmp_path, node("Identity", "sound"))

    check = check_simplifier(Candidate(path=path), export_standin(tmp_path).reference)

    assert not check.passed
    assert check.detail == "required ['audio'], overridable 0 of 5"


def test_a_file_that_cannot_be_loaded_is_tried_no_further(exported: StandIn, tmp_path: Path) -> None:
    path = tmp_path / exported.path.name
    path.write_bytes(b"no graph")

    checks = replace(exported, path=path).verify()

    assert {check.name for check in checks} == {"file", "loading"}
    assert not any(check.passed for check in checks)


def test_hostile_inputs_are_hostile() -> None:
    inputs = hostile(RATE)

    assert sum(not np.isfinite(audio).all() for audio in inputs.values()) >= 3
    assert all(audio.dtype == np.float32 and audio.ndim == 2 for audio in inputs.values())
