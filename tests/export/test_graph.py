"""Tracing a voice to a graph, and the rules that verification applies to it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from tests.tools.standin_voice import HOP, RATE, StandInVoice, export_standin
from tests.tools.streaming_tools import DEFAULTS, small_converter
from utils.errors import ConfigError, ExportError
from utils.export.graph import GraphOptions, build_graph
from utils.verification import reference as verification
from utils.verification.reference import Check, Subject, verify
from utils.verification.signals import hostile, speech_like
from utils.voice_file.controls import CONTROLS
from utils.voice_file.runtime import open_session
from utils.voice_file.signature import AUDIO_INPUT


class Changed(nn.Module):
    """The stand-in with something done to its output; `change(output, audio, pitch_shift) -> output`."""

    def __init__(self, change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner = StandInVoice()
        self.change = change

    def forward(self, audio: Tensor, pitch_shift: Tensor, *others: Tensor) -> Tensor:
        return self.change(self.inner(audio, pitch_shift, *others), audio, pitch_shift)


class KeepsPitch(nn.Module):
    """Takes a pitch shift and does nothing with it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = StandInVoice()

    def forward(self, audio: Tensor, pitch_shift: Tensor, *others: Tensor) -> Tensor:
        return self.inner(audio, 0.0 * pitch_shift, *others)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return export_standin(tmp_path_factory.mktemp("graph"))


def failed(checks: list[Check]) -> list[str]:
    return [f"{check.name}: {check.detail}" for check in checks if not check.passed]


def test_a_sound_voice_passes_every_rule(subject: Subject) -> None:
    assert failed(verify(subject)) == []


@pytest.mark.slow
def test_the_other_exporter_passes_every_rule_too(tmp_path: Path) -> None:
    subject = export_standin(tmp_path, options=GraphOptions(exporter="dynamo", opset=18))

    assert failed(verify(subject)) == []


def test_only_audio_is_required_and_the_controls_are_overridable(subject: Subject) -> None:
    session = subject.session

    assert [value.name for value in session.get_inputs()] == [AUDIO_INPUT]
    assert [value.name for value in session.get_overridable_initializers()] == [control.name for control in CONTROLS]


@pytest.mark.parametrize("length", [1, 2, HOP - 1, HOP, RATE // 10, 7919])
@pytest.mark.parametrize("batch", [1, 3])
def test_graph_equals_module_at_any_length_and_batch(subject: Subject, length: int, batch: int) -> None:
    audio = np.stack([speech_like(RATE, length, seed) for seed in range(batch)])

    got = subject.run(audio)

    torch.testing.assert_close(got, subject.reference(audio, subject.defaults), rtol=1e-4, atol=1e-6)


def test_an_overridden_control_does_what_the_module_does(subject: Subject) -> None:
    audio = speech_like(RATE, RATE, 1)[None]
    values = subject.defaults.__class__(pitch_shift=5.0, speaker_id=1, index_rate=1.0, protect=0.0, loudness_mix=0.2)

    got = subject.run(audio, pitch_shift=5.0, speaker_id=1, index_rate=1.0, protect=0.0, loudness_mix=0.2)

    torch.testing.assert_close(got, subject.reference(audio, values), rtol=1e-4, atol=1e-5)
    assert verification.relative_difference(got, subject.run(audio)) > 0.01


def test_equal_voices_give_equal_bytes_without_places_of_the_maker(subject: Subject, tmp_path: Path) -> None:
    again = export_standin(tmp_path)

    content = again.path.read_bytes()
    assert content == subject.path.read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert b"site-packages" not in content


@pytest.mark.parametrize(
    ("rule", "voice"),
    [
        ("length rule", Changed(lambda output, audio, shift: output[:, :-1])),
        ("silence", Changed(lambda output, audio, shift: output + 0.01)),
        ("finite output", Changed(lambda output, audio, shift: output + 0.0 * audio)),
        ("output differs from input", Changed(lambda output, audio, shift: audio + 0.0 * output)),
        ("batch rows independent", Changed(lambda output, audio, shift: output + output.mean(0, keepdim=True))),
        ("file", Changed(lambda output, audio, shift: output + 1e-3 * torch.randn_like(output))),
        ("controls take effect", KeepsPitch()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_defect_is_found_by_its_rule(rule: str, voice: nn.Module, tmp_path: Path) -> None:
    subject = export_standin(tmp_path, voice)

    assert rule in [check.name for check in verify(subject) if not check.passed]


class BreaksAtFullRate(nn.Module):
    """A stand-in that is NaN while index_rate is above 0.75."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = StandInVoice()

    def forward(self, audio: Tensor, pitch_shift: Tensor, speaker: Tensor, rate: Tensor, *rest: Tensor) -> Tensor:
        made = self.inner(audio, pitch_shift, speaker, rate, *rest)
        return made + 0.0 * torch.sqrt(0.75 - rate)


def test_nan_at_a_value_of_a_control_is_found_also_where_pytorch_has_it_too(tmp_path: Path) -> None:
    subject = export_standin(tmp_path, BreaksAtFullRate())

    for voice in (subject.voice, StandInVoice()):
        rules = (verification.check_controls, verification.check_parity)
        controls, parity = (rule(replace(subject, voice=voice)) for rule in rules)
        assert not controls.passed and not parity.passed
        assert "not finite at one of its values: index_rate, protect" in controls.detail
        assert "with pitch_shift=-3.5, speaker_id=1, index_rate=1" in parity.detail
        assert verification.finite_figures(controls).figures.keys() == {"effect_pitch_shift", "effect_speaker_id",
                                                                        "effect_loudness_mix"}  # fmt: skip


def test_a_row_that_turns_nan_beside_a_broken_one_is_found(tmp_path: Path) -> None:
    def leak(output: Tensor, audio: Tensor, shift: Tensor) -> Tensor:
        return output + 0.0 * audio.sum(0, keepdim=True)

    subject = export_standin(tmp_path, Changed(leak))

    check = verification.check_batch(subject)

    assert not check.passed


def test_parity_that_only_the_last_bit_excuses_is_a_warning(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "own_change_db", lambda reference, audio: -60.0)
    convert = subject.run
    louder = replace(subject)
    monkeypatch.setattr(Subject, "run", lambda self, audio, **controls: np.float32(1.0003) * convert(audio, **controls))

    check = verification.check_parity(louder)

    assert check.outcome == "WARN"
    assert "the voice itself moves by -60 dB" in check.detail


def test_impossible_values_count_as_what_is_documented(tmp_path: Path) -> None:
    voice = small_converter(defaults=DEFAULTS)
    graph = build_graph(voice, sample_rate=voice.io_rate, defaults=DEFAULTS, options=GraphOptions(), metadata={})
    session = open_session(graph.SerializeToString())
    audio = speech_like(voice.io_rate, voice.io_rate // 2, 2)[None]
    plain = verification.run_graph(session, audio, {})

    for control in CONTROLS:
        if not control.is_integer:
            np.testing.assert_array_equal(verification.run_graph(session, audio, {control.name: np.nan}), plain)
            for given, counts in ((1e6, control.high), (np.inf, control.high), (-np.inf, control.low)):
                found, wanted = (
                    verification.run_graph(session, audio, {control.name: value}) for value in (given, counts)
                )
                np.testing.assert_array_equal(found, wanted)
    inside, outside = (verification.run_graph(session, audio, {"speaker_id": value}) for value in (1, 2**62))
    np.testing.assert_array_equal(inside, outside)


def test_a_voice_without_pitch_may_ignore_the_shift_and_no_other_control(tmp_path: Path) -> None:
    subject = replace(export_standin(tmp_path, KeepsPitch()), has_pitch=False)

    check = verification.check_controls(subject)

    assert check.passed and "nothing to act on: pitch_shift" in check.detail
    assert not verification.check_controls(replace(subject, has_pitch=True)).passed


def test_a_graph_of_another_module_fails_parity(subject: Subject) -> None:
    other = StandInVoice()
    with torch.no_grad():
        other.project.weight += 0.05
    strangers = replace(subject, voice=other)

    assert not verification.check_parity(strangers).passed


def test_a_length_frozen_in_tracing_is_found(tmp_path: Path) -> None:
    def freeze(output: Tensor, audio: Tensor, shift: Tensor) -> Tensor:
        return output[:, : int(audio.shape[1])]  # a Python number is a constant of the trace

    subject = export_standin(tmp_path, Changed(freeze))

    assert not verification.check_parity(subject).passed


def test_an_unknown_operator_domain_is_found(subject: Subject, tmp_path: Path) -> None:
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

    check = verification.check_file(replace(subject, path=path))

    assert not check.passed
    assert "com.microsoft.Gelu" in check.detail


def test_a_crashing_rule_fails_and_the_others_still_run(subject: Subject, tmp_path: Path) -> None:
    path = tmp_path / subject.path.name
    path.write_bytes(b"no graph")

    checks = verify(replace(subject, path=path))

    assert len(checks) == 13
    assert not any(check.passed for check in checks)


def test_a_network_that_cannot_be_traced_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    voice = Changed(lambda output, audio, shift: torch.special.i1(output))

    with pytest.raises(ExportError, match="torchscript exporter refused the network") as caught:
        export_standin(tmp_path, voice)

    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_a_control_that_the_network_drops_is_refused(tmp_path: Path) -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = StandInVoice()

        def forward(self, audio: Tensor, pitch_shift: Tensor, *others: Tensor) -> Tensor:
            return self.inner(audio, torch.zeros(()), *others)

    with pytest.raises(ExportError, match="pitch_shift"):
        export_standin(tmp_path, Deaf())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"opset": 16}, "allowed: 17 to 20"),
        ({"opset": 21}, "allowed: 17 to 20"),
        ({"exporter": "magic"}, "allowed: torchscript, dynamo"),
        ({"exporter": "dynamo", "opset": 17}, "set export.opset=18"),
    ],
)
def test_impossible_options_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GraphOptions(**values)  # type: ignore[arg-type]


def test_hostile_inputs_are_hostile() -> None:
    inputs = hostile(RATE)

    assert sum(not np.isfinite(audio).all() for audio in inputs.values()) >= 3
    assert all(audio.dtype == np.float32 and audio.ndim == 2 for audio in inputs.values())
