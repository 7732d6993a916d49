"""Sounds of a page: compressed, with spectrogram and pitch, in groups between which a listener switches."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from utils.audio.compressed import encode_mp3
from utils.audio.io import load_audio, resample
from utils.errors import DataError
from utils.inference.measures import Pitch, PitchMeter
from utils.reports.charts import Axis, path_of

LONGEST_SECONDS = 12.0
ANALYSIS_RATE = 16000
FRAME, HOP = 512, 160
ROWS, COLUMNS = 96, 480
LOW_HZ, HIGH_HZ = 60.0, 8000.0
RANGE_DB = 70.0
# dark blue over purple and orange to pale yellow, even in lightness
ANCHORS = np.array([(0, 0, 10), (60, 15, 110), (150, 45, 120), (225, 90, 80), (252, 170, 90), (252, 250, 190)])


@dataclass
class Sound:
    """One of the sounds of a group.

    Attributes:
        label: what a listener sees: source, converted, target, step 500.
        role: "source", "converted" or "target".
        identifier: names it in the page.
        data: MP3 in base 64.
        seconds: its length.
        picture: PNG of its spectrogram in base 64; empty where none was made.
        pitch: `d` of the SVG path of its fundamental frequency; empty where none was made.
    """

    label: str
    role: str
    identifier: str
    data: str
    seconds: float
    picture: str = ""
    pitch: str = ""


@dataclass
class Group:
    """Sounds of the same words, aligned in time.

    Attributes:
        title: what is heard.
        sounds: in the order of their buttons.
        note: what to listen for.
    """

    title: str
    sounds: list[Sound]
    note: str = ""

    @property
    def seconds(self) -> float:
        """Length of the longest sound."""
        return max((sound.seconds for sound in self.sounds), default=0.0)

    @property
    def num_bytes(self) -> int:
        """What the group adds to the page."""
        return sum(len(sound.data) + len(sound.picture) + len(sound.pitch) for sound in self.sounds)


class SoundMaker:
    """Makes sounds, each with an identifier of its own.

    Args:
        with_pictures: whether spectrograms and pitch are drawn; the pitch needs swift-f0, and is left out without it.
    """

    def __init__(self, *, with_pictures: bool = True) -> None:
        self.with_pictures = with_pictures
        self._count = 0
        self._meter: PitchMeter | None = None

    def of_file(self, path: Path, label: str, role: str, *, with_picture: bool = True) -> Sound:
        """Make a sound of a file; MP3 is taken as it is.

        Raises:
            DataError: if it cannot be read.
        """
        is_ready = path.suffix.lower() == ".mp3" and path.stat().st_size < 500_000
        wants_picture = with_picture and self.with_pictures
        if is_ready and not wants_picture:
            data = path.read_bytes()
            return Sound(label, role, self._next(), base64.b64encode(data).decode(), _mp3_seconds(data))
        audio = load_audio(path, 24000, duration_seconds=LONGEST_SECONDS)
        ready = path.read_bytes() if is_ready else None
        return self.of_audio(audio, 24000, label, role, with_picture=with_picture, ready=ready)

    def of_audio(
        self,
        audio: np.ndarray,
        sample_rate: int,
        label: str,
        role: str,
        *,
        with_picture: bool = True,
        ready: bytes | None = None,
    ) -> Sound:
        """Make a sound of audio [T].

        Args:
            audio: [T] float32; what is beyond LONGEST_SECONDS is left out.
            sample_rate: samples per second.
            label: what a listener sees.
            role: "source", "converted" or "target".
            with_picture: whether spectrogram and pitch are drawn.
            ready: the same sound as MP3, if there is one.
        """
        audio = audio[: round(LONGEST_SECONDS * sample_rate)]
        data = ready or encode_mp3(audio, sample_rate)
        sound = Sound(label, role, self._next(), base64.b64encode(data).decode(), round(len(audio) / sample_rate, 3))
        if with_picture and self.with_pictures and len(audio):
            sound.picture = base64.b64encode(spectrogram_png(audio, sample_rate)).decode()
            sound.pitch = pitch_path(self._track(audio, sample_rate), sound.seconds)
        return sound

    def _next(self) -> str:
        self._count += 1
        return f"sound{self._count}"

    def _track(self, audio: np.ndarray, sample_rate: int) -> Pitch:
        self._meter = self._meter or PitchMeter()
        return self._meter.track(audio, sample_rate)


def spectrogram_png(audio: np.ndarray, sample_rate: int) -> bytes:
    """Return the spectrogram of audio [T] as a PNG: time to the right, 60 Hz to 8 kHz upwards on a logarithmic axis."""
    samples = resample(audio, sample_rate, ANALYSIS_RATE)
    padded = np.pad(samples, (FRAME // 2, FRAME // 2))
    count = max(1, 1 + (len(padded) - FRAME) // HOP)
    rows = np.lib.stride_tricks.sliding_window_view(np.pad(padded, (0, FRAME)), FRAME)[::HOP][:count]
    power = np.abs(np.fft.rfft(rows * np.hanning(FRAME), axis=1)) ** 2
    bins = np.geomspace(LOW_HZ, HIGH_HZ, ROWS + 1) * FRAME / ANALYSIS_RATE
    places = np.sqrt(bins[1:] * bins[:-1])
    low = np.clip(places.astype(int), 0, power.shape[1] - 2)
    share = places - low
    bands = (1 - share) * power[:, low] + share * power[:, low + 1]
    level = 10 * np.log10(bands + 1e-10)
    level = level[np.linspace(0, count - 1, min(COLUMNS, count)).round().astype(int)]
    values = np.clip((level.T[::-1] - level.max() + RANGE_DB) / RANGE_DB, 0, 1)
    image = Image.fromarray((values * 31).round().astype(np.uint8) * 8, mode="P")
    image.putpalette(_palette())
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def pitch_path(pitch: Pitch, seconds: float) -> str:
    """Return the `d` of an SVG path of a pitch curve, with gaps where nothing is voiced."""
    frames = np.arange(len(pitch.f0_hz)) * 0.016
    values = np.where(pitch.f0_hz > 0, pitch.f0_hz, np.nan)
    points = list(zip(frames.tolist(), values.tolist(), strict=True))
    return path_of(points, Axis(0.0, max(seconds, 0.1)), Axis(LOW_HZ, HIGH_HZ, True))


def fitting(groups: Sequence[Group], limit_bytes: int) -> tuple[list[Group], int]:
    """Return the first groups that fit into a number of bytes, and how many were left out."""
    kept: list[Group] = []
    used = 0
    for group in groups:
        if used + group.num_bytes <= limit_bytes:
            kept.append(group)
            used += group.num_bytes
    return kept, len(groups) - len(kept)


def group_of_files(
    maker: SoundMaker, title: str, files: Sequence[tuple[Path, str, str]], note: str = ""
) -> Group | None:
    """Return a group of (file, label, role) without the files that cannot be read; None where none can."""
    sounds = []
    for path, label, role in files:
        try:
            sounds.append(maker.of_file(path, label, role))
        except (DataError, OSError):
            continue
    return Group(title, sounds, note) if sounds else None


def _palette() -> list[int]:
    places = np.linspace(0, len(ANCHORS) - 1, 256)
    channels = [np.interp(places, np.arange(len(ANCHORS)), ANCHORS[:, channel]) for channel in range(3)]
    return [int(value) for value in np.stack(channels, axis=1).round().ravel()]


def _mp3_seconds(data: bytes) -> float:
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        return round(len(file) / file.samplerate, 3)
