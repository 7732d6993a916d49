"""Rate and analysis of a voice's audio."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator

from utils.config.fields import Number, Section, setting
from utils.errors import ConfigError


class AudioConfig(Section):
    """The group `audio`: rate and window of the voice; train.py must be given those of the dataset."""

    key: ClassVar[str] = "audio"
    sample_rate: int = setting(..., "samples per second of the voice; a multiple of 100, from 8000 on", example=24000)
    hop_length: int = setting(..., "samples per frame; always sample_rate / 100", example=240)
    n_fft: int = setting(..., "samples of the window of analysis; even, at least 2 x hop_length", example=960)
    n_mels: int = setting(..., "bands of the mel spectrogram in plots, loss and validation", example=100)
    f_min: Number = setting(..., "lowest mel frequency", unit="Hz", example=0)
    f_max: Number = setting(..., "highest mel frequency", unit="Hz", example=12000)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sample_rate < 8000 or self.sample_rate % 100:
            raise ConfigError(f"audio.sample_rate={self.sample_rate} must be a multiple of 100, at least 8000")
        if self.hop_length * 100 != self.sample_rate:
            raise ConfigError(
                f"audio.hop_length={self.hop_length} must be audio.sample_rate/100 = {self.sample_rate // 100} "
                "(the frame rate is 100 per second everywhere)"
            )
        if self.n_fft < 2 * self.hop_length or self.n_fft % 2:
            least = 2 * self.hop_length
            raise ConfigError(f"audio.n_fft={self.n_fft} must be even and at least 2 x hop_length = {least}")
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise ConfigError(
                f"audio.f_min={self.f_min} and audio.f_max={self.f_max} must satisfy "
                f"0 <= f_min < f_max <= {self.sample_rate / 2}"
            )
        if self.n_mels < 1:
            raise ConfigError(f"audio.n_mels={self.n_mels} must be at least 1")
        return self

    def frames_for(self, samples: int) -> int:
        """Return how many frames cover this many samples (the last one may be padded)."""
        return -(-samples // self.hop_length)


def audio_config(values: Mapping[str, Any]) -> AudioConfig:
    """Build the audio section from plain data, as a dataset stores it."""
    return AudioConfig.model_validate(dict(values))
