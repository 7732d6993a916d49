"""A pitch_shift that the graph chooses: from the median of what is fed to that of the voice."""

import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from models.conversion import AudioConverter, with_automatic_pitch
from models.layers.automatic_pitch import AutomaticPitch, StreamAutomaticPitch
from models.layers.controls import Controls, bounded_controls
from models.layers.stream_memory import Memory
from tests.tools.streaming_tools import RATE, small_converter
from utils.export.graph import build_graph, control_tensors
from utils.export.tracing import GraphOptions
from utils.verification.measures import relative_db
from utils.verification.utterances import utterance
from utils.voice_file.controls import ControlDefaults

FIRST = torch.zeros(1, dtype=torch.int64)


def voiced(median_hz: float, frames: int = 200) -> torch.Tensor:
    """Return f0_hz [1, F] around a median, every fourth frame unvoiced."""
    f0_hz = median_hz * 2 ** (torch.linspace(-4, 4, frames) / 12)
    return torch.where(torch.arange(frames) % 4 == 0, torch.zeros(()), f0_hz)[None]


@pytest.mark.parametrize(
    ("heard", "step", "shift"), [(110.0, 1, 12.0), (220.0, 1, 0.0), (196.0, 1, 2.0), (300.0, 1, -5.0), (165.0, 12, 0.0),
                                 (120.0, 12, 12.0), (440.0, 12, -12.0), (14.0, 1, 36.0)],
)  # fmt: skip
def test_the_median_moves_to_the_target_by_whole_steps(heard: float, step: int, shift: float) -> None:
    found = AutomaticPitch([220.0], step)(voiced(heard), FIRST)

    # what is below 32.7 Hz counts as 32.7 Hz: no voice is there
    assert float(found) == (shift if heard > 32.7 else 33.0)


def test_too_little_voice_and_an_unknown_target_leave_the_pitch() -> None:
    pitch = AutomaticPitch([220.0, 0.0], 1)
    rare = torch.cat([voiced(110.0, 80), torch.zeros(1, 4000)], dim=1)

    assert float(pitch(voiced(110.0, 60), FIRST)) == 0
    assert float(pitch(rare, FIRST)) == 0
    assert float(pitch(voiced(110.0), FIRST + 1)) == 0


def test_each_row_has_a_shift_and_a_speaker_of_its_own() -> None:
    pitch = AutomaticPitch([220.0, 110.0], 1)
    rows = torch.cat([voiced(110.0), voiced(110.0), voiced(220.0)])

    assert pitch(rows, torch.tensor([0, 1, 1])).flatten().tolist() == [12.0, 0.0, -12.0]


@pytest.mark.parametrize(("given", "counts"), [(3.0, 3.0), (0.0, 0.0), (math.nan, 7.0)])
def test_a_number_from_the_host_counts_and_nan_is_automatic(given: float, counts: float) -> None:
    values = Controls(torch.tensor(given), FIRST[0], *torch.tensor([0.5, 0.3, 1.0]))
    bounded = bounded_controls(values, ControlDefaults(pitch_shift=math.nan), 1)

    assert float(with_automatic_pitch(bounded, values, torch.tensor([[7.0]])).pitch_shift) == counts


def test_a_stream_glides_to_the_shift_of_what_it_has_heard_in_blocks_of_any_size() -> None:
    stream, f0_hz = StreamAutomaticPitch(AutomaticPitch([220.0], 1)), voiced(110.0, 400)
    memory = Memory()
    whole = stream(f0_hz, FIRST, memory)
    layout, parts, state = memory.layout, [], torch.zeros(1, memory.size)
    for block in f0_hz.split(4, dim=1):
        memory = Memory(state, layout)
        parts.append(stream(block, FIRST, memory))
        state = memory.packed()

    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)
    assert float(whole[0, 40]) == 0.0
    assert abs(float(whole[0, -1]) - 12.0) <= 3.0 and (whole.diff().abs() < 6.0).all()


def test_a_stream_does_not_waver_between_two_steps() -> None:
    stream = StreamAutomaticPitch(AutomaticPitch([220.0], 1))
    wavering = torch.cat([voiced(110.0 * 2 ** (tenths / 120), 400) for tenths in (0, 5.5, 4.5, 5.5, 4.5)], dim=1)

    held = stream(wavering, FIRST, Memory())[0, 800:]

    assert float(held.max() - held.min()) <= 1.01


@pytest.mark.slow
def test_a_graph_does_it_as_pytorch_does(tmp_path: Path) -> None:
    plain = small_converter()
    parts = plain.generator, plain.frontend, plain.retrieval, plain.resampler
    defaults = ControlDefaults(pitch_shift=math.nan)
    voice = AudioConverter(*parts, defaults=defaults, automatic_pitch=AutomaticPitch([300.0, 80.0], 1)).eval()
    graph = build_graph(voice, sample_rate=RATE, defaults=defaults, options=GraphOptions(), metadata={})
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    audio = utterance(RATE, 0, 1).samples[None]

    made, still = (
        session.run(None, {"audio": audio} | more)[0] for more in ({}, {"pitch_shift": np.array(0, np.float32)})
    )

    with torch.no_grad():
        wanted = voice(torch.from_numpy(audio), *control_tensors(defaults)).numpy()
    assert relative_db(made, wanted) < -60
    assert relative_db(made, still) > -20
