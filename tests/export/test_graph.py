"""Tracing a voice to a graph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tools.standin_voice import HOP, RATE, Changed, StandIn, StandInVoice, export_standin
from tests.tools.streaming_tools import DEFAULTS, small_converter
from utils.errors import ConfigError, ExportError
from utils.export.graph import build_graph
from utils.export.tracing import GraphOptions
from utils.verification.candidate import Candidate
from utils.verification.measures import relative_difference
from utils.verification.signals import speech_like
from utils.voice_file.controls import CONTROLS, ControlDefaults
from utils.voice_file.signature import AUDIO_INPUT


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return export_standin(tmp_path_factory.mktemp("graph"))


def test_only_audio_is_required_and_the_controls_are_overridable(exported: StandIn) -> None:
    session = exported.candidate.session

    assert [value.name for value in session.get_inputs()] == [AUDIO_INPUT]
    assert [value.name for value in session.get_overridable_initializers()] == [control.name for control in CONTROLS]


@pytest.mark.parametrize("length", [1, 2, HOP - 1, HOP, RATE // 10, 7919])
@pytest.mark.parametrize("batch", [1, 3])
def test_graph_equals_module_at_any_length_and_batch(exported: StandIn, length: int, batch: int) -> None:
    audio = np.stack([speech_like(RATE, length, seed) for seed in range(batch)])

    got = exported.run(audio)

    torch.testing.assert_close(got, exported.reference.plain(audio), rtol=1e-4, atol=1e-6)


def test_an_overridden_control_does_what_the_module_does(exported: StandIn) -> None:
    audio = speech_like(RATE, RATE, 1)[None]
    values = ControlDefaults(pitch_shift=5.0, speaker_id=1, index_rate=1.0, protect=0.0, loudness_mix=0.2)

    got = exported.run(audio, pitch_shift=5.0, speaker_id=1, index_rate=1.0, protect=0.0, loudness_mix=0.2)

    torch.testing.assert_close(got, exported.reference.convert(audio, values), rtol=1e-4, atol=1e-5)
    assert relative_difference(got, exported.run(audio)) > 0.01


def test_equal_voices_give_equal_bytes_without_places_of_the_maker(exported: StandIn, tmp_path: Path) -> None:
    again = export_standin(tmp_path)

    content = again.path.read_bytes()
    assert content == exported.path.read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert b"site-packages" not in content


@pytest.mark.slow
def test_impossible_values_count_as_what_is_documented(tmp_path: Path) -> None:
    voice = small_converter(defaults=DEFAULTS)
    graph = build_graph(voice, sample_rate=voice.io_rate, defaults=DEFAULTS, options=GraphOptions(), metadata={})
    (tmp_path / "small.onnx").write_bytes(graph.SerializeToString())
    candidate = Candidate(path=tmp_path / "small.onnx")
    audio = speech_like(voice.io_rate, voice.io_rate // 2, 2)[None]
    plain = candidate.run(audio)

    for control in CONTROLS:
        if not control.is_integer:
            np.testing.assert_array_equal(candidate.run(audio, {control.name: np.nan}), plain)
            for given, counts in ((1e6, control.high), (np.inf, control.high), (-np.inf, control.low)):
                found, wanted = (candidate.run(audio, {control.name: value}) for value in (given, counts))
                np.testing.assert_array_equal(found, wanted)
    inside, outside = (candidate.run(audio, {"speaker_id": value}) for value in (1, 2**62))
    np.testing.assert_array_equal(inside, outside)


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
