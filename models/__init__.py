"""Voice-conversion networks; they know no configuration, no file and no Hydra.

Letters of tensor axes: B batch, C channels, D content dimension, F frames at 100 per second, K codebook entries,
S speakers, T samples (T = F * hop_length).
"""

from models.base import BaseVoiceConversionModel

__all__ = ["BaseVoiceConversionModel"]
