"""The light voice trained as a stream converts, for streams alone."""

from typing import ClassVar

import torch
from torch import Tensor

from models.layers.stream_memory import Memory
from models.lite import LiteVoice
from models.streams.lite import StreamSynthesis, predict_filters
from utils.errors import ConfigError


class LiteStreamVoice(LiteVoice):
    """LiteVoice of which no layer looks ahead; content and pitch are 10 ms late.

    It has the tensors of LiteVoice, so that one starts from the other; the arguments are those of LiteVoice.
    """

    is_for_streams: ClassVar[bool] = True
    synthesis: StreamSynthesis

    def inference(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Tensor:
        """Generate audio [B, F * hop] from content [B, F, D], f0_hz [B, F], loudness_db [B, F], speaker_id [B]."""
        content, f0_hz = (torch.cat([value[:, :1], value], dim=1) for value in (content, f0_hz))
        loudness_db = torch.cat([loudness_db, loudness_db[:, -1:]], dim=1)
        memory, transform = Memory(), self.synthesis.transform
        filters = predict_filters(self, content, f0_hz, loudness_db, speaker_id, memory)
        audio = transform.add(self.synthesis(filters, f0_hz, memory), memory)
        # a frame's piece begins `early` samples before the frame
        early = transform.overlap // 2
        return audio[:, early : audio.shape[1] - self.hop_length + early]

    def make_synthesis(self) -> StreamSynthesis:
        """Return the module from filters and pitch to pieces of audio.

        Raises:
            ConfigError: if the ends are to be closed: a stream has none.
        """
        if self.closed_ends:
            raise ConfigError("model.closed_ends=true is for blocks by themselves (model=lite); a stream has no ends")
        return StreamSynthesis(self.sample_rate, self.n_fft)
