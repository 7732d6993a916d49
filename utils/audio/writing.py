"""Write sound files of the usual formats piece by piece, by the libraries of FFmpeg in PyAV."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from utils.audio.io import float_to_int16
from utils.errors import DataError, one_line_for_files

if TYPE_CHECKING:
    from av.container import OutputContainer

LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
Samples = Literal["s16", "s32", "flt", "fltp"]


@dataclass(frozen=True)
class SoundFormat:
    """A kind of sound file.

    Attributes:
        suffix: of its files.
        container: FFmpeg's name of the file format.
        codec: FFmpeg's name of the encoder.
        samples: how the encoder takes samples: 16 bits, 24 in 32, or floats.
        rates: that it can have; None for any.
        bits_per_second: of each channel; None where the codec loses nothing.
        most_channels: that it can have.
    """

    suffix: str
    container: str
    codec: str
    samples: Samples
    rates: tuple[int, ...] | None = None
    bits_per_second: int | None = None
    most_channels: int = 8

    def rate_for(self, sample_rate: int) -> int:
        """Return the rate itself, or the next one that the format has."""
        if self.rates is None or sample_rate in self.rates:
            return sample_rate
        return next((rate for rate in self.rates if rate > sample_rate), self.rates[-1])


MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
# bits at which speech and music sound as the source does to most listeners; none of these is measured here
SOUND_FORMATS = {
    "wav": SoundFormat(".wav", "wav", "pcm_s16le", "s16"),
    "wav24": SoundFormat(".wav", "wav", "pcm_s24le", "s32"),
    "wav32f": SoundFormat(".wav", "wav", "pcm_f32le", "flt"),
    "flac": SoundFormat(".flac", "flac", "flac", "s16"),
    "flac24": SoundFormat(".flac", "flac", "flac", "s32"),
    "mp3": SoundFormat(".mp3", "mp3", "libmp3lame", "fltp", MP3_RATES, 96_000, most_channels=2),
    "ogg": SoundFormat(".ogg", "ogg", "libopus", "flt", OPUS_RATES, 64_000),
    "opus": SoundFormat(".opus", "opus", "libopus", "flt", OPUS_RATES, 64_000),
    "m4a": SoundFormat(".m4a", "ipod", "aac", "fltp", AAC_RATES, 96_000),
}
WRITTEN_SUFFIXES = tuple(dict.fromkeys(known.suffix for known in SOUND_FORMATS.values()))


def sound_format(name: str | None, path: Path) -> SoundFormat:
    """Return the format of a name, or for None that of a file's ending.

    Raises:
        DataError: if there is none.
    """
    if name is not None:
        if name not in SOUND_FORMATS:
            raise DataError(f"format={name} is unknown; allowed: {', '.join(SOUND_FORMATS)}")
        return SOUND_FORMATS[name]
    for known in SOUND_FORMATS.values():
        if known.suffix == path.suffix.lower():
            return known
    raise DataError(f"{path} cannot be written: its name must end with one of {', '.join(WRITTEN_SUFFIXES)}")


@contextmanager
def open_writer(
    path: Path, kind: SoundFormat, *, sample_rate: int, num_channels: int = 1, tags: Mapping[str, str] | None = None
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a sound file piece by piece; it stands in its place when all is written, or not at all.

    Args:
        path: the file; its folder is made when missing.
        kind: its format.
        sample_rate: samples per second, one that the format has.
        num_channels: of each piece.
        tags: title, artist and the like, as FFmpeg names them.
    Yields:
        A function that takes the next [n] or [n, C] float32; whole numbers are cut at full scale.
    Raises:
        DataError: if the format cannot hold it, or the file cannot be written.
    """
    import av  # loads 70 MB of libraries, which a host that writes nothing does not need

    if num_channels > kind.most_channels or num_channels not in LAYOUTS:
        raise DataError(f"{path} cannot have {num_channels} channels; mix them, or write wav")
    with one_line_for_files():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=kind.suffix, delete=False) as made:
            temporary = Path(made.name)
        try:
            # beyond 4 GB the file is RF64
            options = {"rf64": "auto"} if kind.container == "wav" else {}
            with av.open(str(temporary), "w", format=kind.container, options=options) as container:
                container.metadata.update(tags or {})
                encoder = _Encoder(container, kind, sample_rate, num_channels)
                yield encoder.write
                encoder.finish()
            temporary.chmod(0o644)
            temporary.replace(path)
        except av.FFmpegError as error:
            raise DataError(f"{path} cannot be written ({error.strerror})") from error
        finally:
            temporary.unlink(missing_ok=True)


class _Encoder:
    """Encodes what is written into a container."""

    def __init__(self, container: "OutputContainer", kind: SoundFormat, rate: int, num_channels: int) -> None:
        import av

        self._container, self._kind, self._rate = container, kind, rate
        self._layout, self._position = LAYOUTS[num_channels], 0
        stream = container.add_stream(kind.codec, rate=rate, layout=self._layout)
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        self._stream.format = kind.samples
        if kind.bits_per_second is not None:
            self._stream.bit_rate = kind.bits_per_second * num_channels

    def write(self, audio: np.ndarray) -> None:
        """Encode the next [n] or [n, C]."""
        import av

        if not len(audio):
            return
        rows = _as_samples(audio.reshape(len(audio), -1), self._kind.samples)
        plane = np.ascontiguousarray(rows.T) if self._kind.samples == "fltp" else rows.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(plane, format=self._kind.samples, layout=self._layout)
        frame.sample_rate, frame.pts = self._rate, self._position
        self._position += len(audio)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Encode what the encoder still holds."""
        self._container.mux(self._stream.encode(None))


def _as_samples(audio: np.ndarray, kind: Samples) -> np.ndarray:
    if kind == "s16":
        return float_to_int16(audio)
    if kind == "s32":  # 24 bits, at the upper end
        scaled = np.clip(np.rint(audio.astype(np.float64) * (2**23 - 1)), -(2**23), 2**23 - 1)
        return scaled.astype(np.int32) << 8
    return np.ascontiguousarray(audio, np.float32)
