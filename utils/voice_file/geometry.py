"""The numbers in the name of an exported graph, and which of them a graph can have."""

from dataclasses import dataclass

from utils.audio.frames import FRAME_RATE
from utils.errors import ConfigError

LOWEST_RATE, HIGHEST_RATE = 8000, 192_000


@dataclass(frozen=True, kw_only=True)
class FileGeometry:
    """The numbers in the name of an exported graph; `is_stream` marks one that converts block by block."""

    name: str
    sample_rate: int
    hop_length: int
    n_fft: int
    is_stream: bool = False

    @property
    def file_name(self) -> str:
        """Return `<name>_sr{rate}_hop{hop}_nfft{n_fft}.onnx`, with `_stream` before the dot for a stream."""
        kind = "_stream" if self.is_stream else ""
        return f"{self.name}_sr{self.sample_rate}_hop{self.hop_length}_nfft{self.n_fft}{kind}.onnx"


def geometry_at(name: str, rate: int, *, model_rate: int, model_n_fft: int) -> FileGeometry:
    """Describe a graph whose input and output rate differs from the rate of its generator.

    The rates must have passed check_rate.
    """
    n_fft = 2 * round(model_n_fft * rate / model_rate / 2)
    return FileGeometry(name=name, sample_rate=rate, hop_length=rate // FRAME_RATE, n_fft=n_fft)


def check_rate(rate: int) -> int:
    """Return the rate when a graph can have it.

    Raises:
        ConfigError: if it has no whole number of samples in 10 ms or is out of range.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE or rate % FRAME_RATE:
        raise ConfigError(
            f"export.rates: {rate} is not possible; allowed: multiples of {FRAME_RATE}, {LOWEST_RATE} to {HIGHEST_RATE}"
        )
    return rate
