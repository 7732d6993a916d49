"""Decode what phones and cameras record (M4A, MP4, WebM, AMR, WMA, ...) by the libraries of FFmpeg in PyAV."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from utils.audio.decoder import BLOCK_SAMPLES
from utils.errors import DataError

if TYPE_CHECKING:
    from av import AudioFrame

# Formats that hold sound themselves. Playlists and scripts (hls, concat, dash, ...) name other files and addresses.
FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,asf_o,au,avi,caf,dts,dtshd,eac3,flac,flv,gsm,iff,ircam,loas,matroska,mov,mp3,"
    "mpc,mpc8,mpeg,mpegts,nistsphere,ogg,rm,tak,tta,voc,w64,wav,wv,xwma"
)
COUNTING_FORMATS = {"aiff", "caf", "flac", "matroska", "mov", "ogg", "w64", "wav"}  # others estimate their length
SHORTEST_LOSS_SECONDS = 0.1


# what a converted recording may keep; technical entries belong to the file that they are in
TAGS = frozenset({
    "title", "artist", "album", "album_artist", "composer", "performer", "genre", "date", "track", "disc", "comment",
    "copyright", "lyrics", "publisher", "language", "description",
})  # fmt: skip
LONGEST_TAG = 4096


def tags_of(path: Path) -> dict[str, str]:
    """Return title, artist and other TAGS of a sound file, by FFmpeg's names; nothing of a file that it cannot read."""
    import av

    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
    try:
        with path.open("rb") as file, av.open(file, "r", options=options, metadata_errors="replace") as container:
            found = dict(container.metadata)
            for stream in container.streams.audio[:1]:
                found = dict(stream.metadata) | found
    except av.FFmpegError:
        return {}
    named = {key.lower(): value[:LONGEST_TAG] for key, value in found.items()}
    if named.get("language") == "und":  # undetermined
        del named["language"]
    return {key: value for key, value in sorted(named.items()) if key in TAGS and value}


class FfmpegDecoder:
    """Reads the first sound track of a file.

    Args:
        path: the file.
        start_seconds: where the first block begins.
        headerless: format of a file that does not tell its own, such as "g722".
    Raises:
        DataError: if it holds no sound that FFmpeg can read.
    """

    name: Literal["libsndfile", "ffmpeg"] = "ffmpeg"

    def __init__(self, path: Path, start_seconds: float = 0.0, *, headerless: str | None = None) -> None:
        import av  # loads 70 MB of libraries, which most recordings do not need

        self._file = path.open("rb")
        # an opened file and no protocol: nothing but this file can be read, whatever it says
        options = {"format_whitelist": headerless or FORMATS, "protocol_whitelist": "none"}
        try:
            self._container = av.open(self._file, "r", format=headerless, options=options, metadata_errors="replace")
        except av.FFmpegError as error:
            self._file.close()
            raise DataError(f"{path} is not a sound file that ffmpeg can read ({error.strerror})") from error
        tracks = [track for track in self._container.streams.audio if track.codec_context is not None and track.rate]
        if not tracks:
            self.close()
            raise DataError(f"{path} is not a sound file that ffmpeg can read (it has no sound track)")
        self._stream = tracks[0]
        self.sample_rate = self._stream.rate
        self.num_channels = self._stream.channels
        self.problem: str | None = None
        self.is_stuck = False
        self._num_broken = 0
        self._skip = round(start_seconds * self.sample_rate)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield float32 [n, C]."""
        parts: list[np.ndarray] = []
        decoded = waiting = 0
        for frame in self._frames():
            samples = frame.to_ndarray().T[max(0, self._skip - decoded) :]
            decoded += frame.samples
            parts.append(samples)
            waiting += len(samples)
            if waiting >= BLOCK_SAMPLES:
                yield np.concatenate(parts)
                parts, waiting = [], 0
        if waiting:
            yield np.concatenate(parts)
        self.problem = self._damage(decoded / self.sample_rate)

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        self._file.close()

    def _frames(self) -> Iterator["AudioFrame"]:
        """Yield what can be decoded as float32, planar, at the rate and with the channels that the file began with."""
        from av import AudioResampler

        kind, converter = None, None
        for frame in self._decoded_frames():
            if kind != (kind := (frame.sample_rate, frame.layout.name, frame.format.name)):
                yield from converter.resample(None) if converter else ()
                converter = AudioResampler("fltp", self._stream.layout, self.sample_rate)
            assert converter is not None
            yield from converter.resample(frame)
        yield from converter.resample(None) if converter else ()

    def _decoded_frames(self) -> Iterator["AudioFrame"]:
        """Yield the frames of all packets; packets that cannot be decoded are left out and counted."""
        from av import FFmpegError

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError:  # nothing behind it can be found
                self._num_broken += 1
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except FFmpegError:
                self._num_broken += 1
                continue
            self._num_broken += sum(frame.is_corrupt for frame in frames)
            yield from frames

    def _damage(self, seconds: float) -> str | None:
        """Return what is wrong with a file of which so much was decoded."""
        if self._num_broken:
            return f"damaged: {seconds:.2f} s decoded, {self._num_broken} packet(s) cannot be"
        promised = self._promised_seconds()
        if promised > seconds + SHORTEST_LOSS_SECONDS:
            return f"cut short: {seconds:.2f} s of {promised:.2f} s decoded"
        return None

    def _promised_seconds(self) -> float:
        """Return the length that the header tells; 0 where it tells none or that of a picture track too."""
        if not COUNTING_FORMATS & set(self._container.format.name.split(",")):
            return 0.0
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        is_alone = len(self._container.streams) == 1
        return (self._container.duration or 0) / 1e6 if is_alone else 0.0
