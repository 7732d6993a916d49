"""Soft speech of a stream, raised as the encoder raises a soft recording: by what was heard so far."""

import torch
from torch import Tensor, nn

from models.layers.stream_memory import Memory
from utils.audio.frames import FEATURE_RATE
from utils.features.content.network import FRAME_SAMPLES

SPEECH_DB = -24.0  # mean loudness of voiced frames of speech at -23 LUFS, the level of the training
FOLLOWING_SECONDS = 0.5  # of voiced sound, in which the raise comes two thirds of its way nearer
HEADROOM_DB = 10.0  # nothing is raised to more than this above SPEECH_DB: speech that sets in loudly is not overdriven
MAX_RAISE_DB = 40.0


class StreamLevel(nn.Module):
    """Raises soft speech to the level of the training, block by block of 20 ms.

    A whole recording is raised by its level (raise_level of the encoder). A stream does not know it: it begins with no
    raise and follows the loudness of voiced frames, so that pauses and noise leave it where it is.
    """

    def forward(self, audio: Tensor, f0_hz: Tensor, loudness_db: Tensor, memory: Memory) -> Tensor:
        """Return the next samples at 16 kHz, [B, F * 160], raised.

        Args:
            audio: the samples.
            f0_hz: [B, F], 0 in unvoiced frames; may be some frames late.
            loudness_db: [B, F]; F is even.
            memory: of the stream.
        """
        missing = SPEECH_DB - loudness_db.unflatten(1, (-1, 2)).mean(dim=2)
        is_voiced = (f0_hz > 0).to(audio.dtype).unflatten(1, (-1, 2)).amax(dim=2)
        steps = is_voiced * (FRAME_SAMPLES / FEATURE_RATE / FOLLOWING_SECONDS)
        raised = memory.recall("content.raise_db", (1,), audio)
        raises = []
        for lacks, step in zip(missing.split(1, dim=1), steps.split(1, dim=1), strict=True):
            raised = torch.minimum(raised + step * (lacks - raised), lacks + HEADROOM_DB).clamp(0.0, MAX_RAISE_DB)
            raises.append(raised)
        memory.keep(raised)
        gains = 10 ** (torch.cat(raises, dim=1) / 20)
        return (audio.unflatten(1, (-1, FRAME_SAMPLES)) * gains.unsqueeze(-1)).flatten(1)
