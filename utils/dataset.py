"""The training dataset under the name that the architecture document promises."""

from utils.corpus.dataset import VoiceConversionDataset

__all__ = ["VoiceConversionDataset"]
