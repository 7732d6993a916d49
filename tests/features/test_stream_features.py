"""Content and pitch of a stream: what the encoder says without a look at the future, and a pitch that follows."""

import numpy as np
import torch
import torch.nn.functional as functional

from models.layers.stream_memory import Memory
from tests.tools.streaming_tools import DIM, RATE
from utils.audio.synthetic_speech import voice as speech
from utils.features.content.builtin import RandomContent
from utils.features.content.stream_content import StreamContent
from utils.features.pitch.stream_pitch import LOOK_AHEAD, StreamPitch
from utils.features.pitch.swift import SwiftPitch


def test_content_is_that_of_the_encoder_without_a_look_at_the_future() -> None:
    network = RandomContent(dim=DIM).network
    audio = torch.from_numpy(speech(2.0, seed=2))[None]
    audio = audio[:, : audio.shape[1] // 320 * 320]

    expected = network(functional.pad(audio, (320, 0)), future=0)
    expected = expected * torch.rsqrt(expected.square().mean(-1, keepdim=True) + 1e-8)
    # silence before the start is the same as none; the newest sample is 224 behind the end of a frame
    got = StreamContent(network)(functional.pad(audio, (320 - 224, 224)), Memory())

    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


def test_streaming_pitch_follows_a_glide_within_half_a_semitone() -> None:
    time = np.arange(2 * RATE) / RATE
    f0_hz = 160 * 2 ** (0.4 * np.sin(2 * np.pi * 0.8 * time))
    phase = 2 * np.pi * np.cumsum(f0_hz) / RATE
    audio = 0.1 * np.sum([np.sin(number * phase) / number for number in range(1, 12)], axis=0)
    early = -LOOK_AHEAD % 160

    padded = functional.pad(torch.from_numpy(audio.astype(np.float32))[None], (early, LOOK_AHEAD))
    found = StreamPitch(SwiftPitch())(padded, Memory())[0, (LOOK_AHEAD + early) // 160 :].detach().numpy()

    truth = f0_hz[80::160]
    assert (found[10:] > 0).all()
    assert np.abs(12 * np.log2(found[10:] / truth[10 : len(found)])).max() < 0.5
