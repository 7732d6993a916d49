"""Sound in few bytes, for pages and folders that people listen in."""

import io
from collections.abc import Iterator

import av
import numpy as np

from utils.audio.io import resample

# Every browser plays MP3, Safari included; Ogg with Opus only the newer ones.
MEDIA_TYPE, SUFFIX = "audio/mpeg", ".mp3"
MP3_RATES = (16000, 24000, 32000, 44100, 48000)
BITS_PER_SECOND = 80_000
BLOCK = 1152  # samples of a frame of MP3
# level 7 of 0 to 9: twice as fast, for speech as good; without reservoir each frame stands alone, also after a jump
OPTIONS = {"compression_level": "7", "reservoir": "0"}


def encode_mp3(audio: np.ndarray, sample_rate: int, bits_per_second: int = BITS_PER_SECOND) -> bytes:
    """Encode mono audio [T] as MP3.

    What is not finite becomes silence, what is beyond full scale is cut; a rate that MP3 does not have is resampled to
    the next one above it (48 kHz at most).

    Args:
        audio: [T] float32, full scale = 1.
        sample_rate: samples per second.
        bits_per_second: of the result.
    """
    rate = next((known for known in MP3_RATES if known >= sample_rate), MP3_RATES[-1])
    samples = np.nan_to_num(np.asarray(audio, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    samples = np.clip(resample(samples, sample_rate, rate), -1.0, 1.0).astype(np.float32)
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp3") as container:
        encoder = container.add_stream(
            "libmp3lame", rate=rate, layout="mono", bit_rate=bits_per_second, options=OPTIONS
        )
        for frame in _frames(samples, rate):
            container.mux(encoder.encode(frame))
        container.mux(encoder.encode(None))
    return stream.getvalue()


def _frames(samples: np.ndarray, rate: int) -> Iterator[av.AudioFrame]:
    padded = np.pad(samples, (0, -len(samples) % BLOCK or (0 if len(samples) else BLOCK)))
    for start in range(0, len(padded), BLOCK):
        frame = av.AudioFrame.from_ndarray(padded[None, start : start + BLOCK], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, start
        yield frame
