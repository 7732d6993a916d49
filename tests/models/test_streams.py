"""The parts of a streaming voice, and the whole: block by block they give what one piece gives."""

import pytest
import torch
from torch import Tensor, nn

from models.layers.fourier import RealFourier
from models.layers.overlap import LowDelayTransform
from models.layers.stream_memory import Layout, Memory
from models.lite_stream import LiteStreamVoice
from models.stream_conversion import StreamConverter
from models.streams.causal import convolve_depthwise, convolve_rows, convolve_together
from models.streams.source import StreamPulses
from tests.tools.streaming_tools import DEFAULTS, DIM, RATE, small_converter, small_voice
from utils.export.graph import control_tensors
from utils.export.stream_graph import stream_converter
from utils.verification.alignment import level_delay
from utils.verification.signals import bursts, speech_like


def in_blocks(stream: StreamConverter, audio: Tensor) -> Tensor:
    state, made = torch.zeros(1, stream.state_size), []
    for block in audio.split(stream.block, dim=1):
        output, state = stream(block, state, *control_tensors(DEFAULTS))
        made.append(output)
    return torch.cat(made, dim=1)


def relative_db(got: Tensor, expected: Tensor) -> float:
    return 20 * float(torch.log10((got - expected).square().mean().sqrt() / expected.square().mean().sqrt()))


@pytest.mark.parametrize("size", [512, 640, 882, 960])
def test_two_stage_transform_is_the_fourier_transform(size: int) -> None:
    frames = torch.randn(2, 3, size, generator=torch.Generator().manual_seed(0))
    transform = RealFourier(size)

    real, imaginary = transform(frames)

    expected = torch.fft.rfft(frames.double())
    torch.testing.assert_close(real.double(), expected.real, atol=1e-4, rtol=0)
    torch.testing.assert_close(imaginary.double(), expected.imag, atol=1e-4, rtol=0)
    torch.testing.assert_close(transform.inverse(real, imaginary), frames, atol=1e-5, rtol=0)


def test_low_delay_transform_gives_its_input_back_one_overlap_later() -> None:
    transform, memory = LowDelayTransform(640, 160), Memory()
    audio = torch.randn(1, 1600, generator=torch.Generator().manual_seed(0))

    output = transform.add(transform.pieces(*transform(audio, memory, "audio")), memory)

    torch.testing.assert_close(output[:, transform.overlap :], audio[:, : -transform.overlap], atol=1e-5, rtol=0)


def test_causal_convolutions_say_what_centred_ones_say_when_the_sound_stands_still() -> None:
    torch.manual_seed(0)
    plain, depthwise = nn.Conv1d(4, 6, 5, padding=2), nn.Conv1d(4, 4, 7, padding=3, groups=4)
    x = torch.randn(1, 30, 4)
    x[:, 12:] = x[:, 12:13]

    together = convolve_together((plain,), x, Memory(), "x")
    apart = convolve_depthwise(depthwise, x, Memory(), "x")
    rows = convolve_rows(depthwise, x[0], Memory(), "x")[None]
    for convolution, got in ((plain, together), (depthwise, apart), (depthwise, rows)):
        expected = convolution(x.transpose(1, 2)).transpose(1, 2)
        torch.testing.assert_close(got[:, 12:20], expected[:, 12:20], atol=1e-5, rtol=0)
        assert not torch.allclose(got[:, 5:10], expected[:, 5:10], atol=1e-2)


def test_pulses_keep_their_period_over_blocks_and_begin_anew_with_a_voice() -> None:
    pulses, state, made = StreamPulses(RATE, 160), None, []
    f0_hz = torch.tensor([0.0] * 3 + [100.0] * 9 + [0.0] * 4 + [100.0] * 8)
    layout: Layout = ()

    for block in f0_hz.split(2):
        memory = Memory(state, layout)
        made.append(pulses(block[None], memory)[0])
        state, layout = memory.packed(), memory.layout
    audio = torch.cat(made)

    peaks = (audio[4 * 160 : 12 * 160] > 0.9 * audio.max()).nonzero()[:, 0]
    assert set(torch.diff(peaks[torch.diff(peaks, prepend=torch.tensor([-9])) > 1]).tolist()) == {160}
    torch.testing.assert_close(audio[3 * 160 : 9 * 160], audio[16 * 160 : 22 * 160], atol=1e-4, rtol=0)
    assert audio[: 3 * 160].abs().max() == 0


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_blocks_give_what_one_piece_gives(rate: int) -> None:
    stream = stream_converter(small_converter(rate))
    audio = torch.from_numpy(speech_like(rate, 24 * stream.block, 2))[None]

    whole = stream.whole(audio, *control_tensors(DEFAULTS))

    assert relative_db(in_blocks(stream, audio), whole) < -70
    assert float(whole.square().mean().sqrt()) > 1e-3


def test_a_block_of_40_ms_gives_what_two_of_20_ms_give() -> None:
    voice = small_converter()
    short, long = stream_converter(voice), stream_converter(voice, block_ms=40)
    audio = torch.from_numpy(speech_like(RATE, 20 * short.block, 3))[None]

    assert long.block == 2 * short.block
    assert long.look_ahead == short.look_ahead
    assert relative_db(in_blocks(long, audio), in_blocks(short, audio)) < -70


def test_output_is_behind_the_input_by_the_stated_look_ahead() -> None:
    for rate in (16000, 48000):
        stream = stream_converter(small_converter(rate))
        source = torch.from_numpy(bursts(rate, 100 * stream.block, 6))[None]
        controls = list(control_tensors(DEFAULTS))
        controls[-1] = torch.tensor(0.0)

        delay = level_delay(source[0].numpy(), stream.whole(source, *controls)[0].numpy(), rate)

        assert delay.correlation > 0.9
        assert delay.seconds == pytest.approx(stream.look_ahead / rate, abs=2e-3)
        assert (stream.block + stream.look_ahead) / rate <= 0.0325


def test_training_voice_is_aligned_and_hears_nothing_of_later_frames() -> None:
    voice = small_voice(kind=LiteStreamVoice)
    generator = torch.Generator().manual_seed(1)
    content, f0_hz = torch.randn(1, 40, DIM, generator=generator), torch.full((1, 40), 120.0)
    loudness, speaker = torch.full((1, 40), -20.0), torch.zeros(1, dtype=torch.int64)
    changed = [value.clone() for value in (content, f0_hz, loudness)]
    changed[0][:, 25:], changed[1][:, 25:], changed[2][:, 25:] = 0.0, 300.0, -60.0

    one = voice.inference(content, f0_hz, loudness, speaker)
    other = voice.inference(changed[0], changed[1], changed[2], speaker)

    assert one.shape == (1, 40 * 160)
    fade = voice.form("stream").transform.overlap // 2
    assert torch.equal(one[:, : 25 * 160 - fade], other[:, : 25 * 160 - fade])
    assert not torch.allclose(one[:, 25 * 160 :], other[:, 25 * 160 :], atol=1e-3)


def test_streaming_voice_has_the_tensors_of_the_light_voice() -> None:
    assert list(small_voice().state_dict()) == list(small_voice(kind=LiteStreamVoice).state_dict())
