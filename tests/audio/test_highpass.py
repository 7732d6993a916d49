"""The high-pass of a graph is that of preprocessing: the same samples as scipy's recursive filter, in any form."""

import numpy as np
import pytest
import torch
from scipy.signal import sosfilt
from torch import Tensor

from models.layers.stream_memory import Layout, Memory
from utils.audio.highpass import HighPass, highpass_sections
from utils.audio.synthetic_speech import voice
from utils.features.stream_frontend import StreamHighPass

RATE = 24000


def noise(seconds: float, sample_rate: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.05 + 0.1 * torch.randn(2, round(seconds * sample_rate), generator=generator)


def recursive(audio: Tensor, cutoff_hz: float, sample_rate: int, order: int = 4) -> np.ndarray:
    sections = highpass_sections(cutoff_hz, sample_rate, order=order)
    filtered: np.ndarray = sosfilt(sections, audio.double().numpy(), axis=1)
    return filtered


def difference_db(got: np.ndarray, expected: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(got - expected)) / np.mean(np.square(expected))))


@pytest.mark.parametrize("sample_rate", [16000, 22100, 24000, 44100, 48000])
def test_blocks_give_what_the_recursive_filter_gives(sample_rate: int) -> None:
    audio = noise(1.0, sample_rate)

    got = HighPass(40.0, sample_rate)(audio).numpy()

    assert difference_db(got, recursive(audio, 40.0, sample_rate)) < -120


@pytest.mark.parametrize(("cutoff_hz", "order"), [(5.0, 4), (48.0, 5), (500.0, 4)])
def test_any_cutoff_and_order(cutoff_hz: float, order: int) -> None:
    audio = noise(2.0, RATE)

    got = HighPass(cutoff_hz, RATE, order=order)(audio).numpy()

    assert difference_db(got, recursive(audio, cutoff_hz, RATE, order)) < -110


def test_an_offset_is_gone_in_single_precision() -> None:
    audio = torch.full((1, 2 * RATE), 0.5)

    got = HighPass(40.0, RATE)(audio)

    assert float(got[:, RATE // 2 :].abs().max()) < 1e-6


def test_a_centred_recording_begins_without_a_thump() -> None:
    highpass = HighPass(40.0, RATE)
    audio = torch.full((1, RATE // 10), 0.1)  # a block of a host that keeps nothing

    thump, calm = highpass(audio), highpass(highpass.centred(audio))

    assert float(thump.abs().max()) > 0.05
    assert float(calm.abs().max()) < 1e-6


@pytest.mark.parametrize("length", [1, 3, 240])
def test_short_sounds_keep_their_shape_when_centred(length: int) -> None:
    audio = noise(1.0, RATE)[:, :length]

    centred = HighPass(40.0, RATE).centred(audio)

    # a mean over 100 ms, of which nearly all is missing, is no offset
    assert centred.shape == audio.shape
    assert float((centred - audio).abs().max()) <= 0.11 * float(audio.abs().max())


@pytest.mark.parametrize(("offset", "allowed_db"), [(0.0, 1.0), (0.03, 2.0)])
def test_blocks_of_100_ms_alone_are_nearly_as_loud_as_in_the_whole(offset: float, allowed_db: float) -> None:
    speech = torch.from_numpy(voice(2.0, RATE, seed=1))
    highpass = HighPass(40.0, RATE)
    blocks = (speech + offset).reshape(-1, RATE // 10)

    alone = highpass(highpass.centred(blocks)).flatten()

    # steps of 10 ms; of an offset the whole keeps nothing either
    errors = levels_db(alone) - levels_db(highpass(speech[None])[0])
    assert float(errors.square().mean().sqrt()) < allowed_db
    as_given = levels_db(blocks.flatten()) - levels_db(highpass(speech[None])[0])
    assert float(errors.square().mean()) < float(as_given.square().mean()) or not offset


def levels_db(audio: Tensor) -> Tensor:
    return 10 * torch.log10(audio.reshape(-1, RATE // 100).square().mean(dim=1) + 1e-8)


@pytest.mark.parametrize("sample_rate", [16000, 24000, 44100])
def test_a_stream_gives_what_the_recursive_filter_gives(sample_rate: int) -> None:
    stream, block = StreamHighPass(HighPass(40.0, sample_rate)), sample_rate // 50
    audio = noise(0.6, sample_rate)[:1]
    made: list[Tensor] = []
    state: Tensor | None = None
    layout: Layout = ()

    for part in audio.split(block, dim=1):
        memory = Memory(state, layout)
        made.append(stream(part, memory))
        state, layout = memory.packed(), memory.layout

    got = torch.cat(made, dim=1)
    assert difference_db(got.numpy(), recursive(audio, 40.0, sample_rate)) < -120
    torch.testing.assert_close(got, stream(audio, Memory()), atol=1e-6, rtol=0)
