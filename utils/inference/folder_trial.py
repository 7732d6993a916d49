"""Convert the recordings of a folder, several at a time, and measure what became of each."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.audio.decoder_process import read_tags
from utils.audio.writing import SoundFormat
from utils.console import utf8_text
from utils.errors import DataError, FormatError
from utils.inference.done_before import DoneBefore
from utils.inference.figures import conversion_figures, track_pitch
from utils.inference.file_conversion import OpenedChannels, convert_into, write_sounds
from utils.inference.measures import SPEED_SECONDS, Pitch, PitchMeter, automatic_shift, is_pitch_known, limited_shift
from utils.inference.session import VoiceSession
from utils.inference.source import SpooledSound

UNKNOWN_PITCH = "too little of it is voiced to tell its pitch, which is left as it is"


class PitchTarget(NamedTuple):
    """The median pitch that each recording is moved to, in steps of so many semitones."""

    median_hz: float
    step: int


class OutputSettings(NamedTuple):
    """How the converted files are written: format, rate, each channel or their mean, with tags or without."""

    kind: SoundFormat
    sample_rate: int
    keeps_channels: bool
    keeps_tags: bool


class FolderTrial:
    """Converts recordings and keeps what was measured.

    Args:
        session: the voice.
        controls: values of its overridable inputs.
        target: the pitch that each recording is moved to; None leaves it to the controls.
        announce: is given one line of text for each recording.
        settings: how files are written.
        before: what was done by an earlier call.
    Attributes:
        files: rows of the report, in the order of the recordings.
        failures: what could not be converted as it should be, and why; in that order too.
        example: the first seconds of a recording, at the voice's rate; None without any.
    """

    def __init__(
        self,
        session: VoiceSession,
        controls: dict[str, float],
        target: PitchTarget | None,
        announce: Callable[[str], None],
        *,
        settings: OutputSettings,
        before: DoneBefore,
    ) -> None:
        self.session = session
        self.controls = controls
        self.target = target
        self.settings = settings
        self.before = before
        self.files: list[dict[str, Any]] = []
        self.failures: list[dict[str, str]] = []
        self.example: np.ndarray | None = None
        self._announce = announce
        self._lock = threading.Lock()
        self._local = threading.local()

    def convert_all(self, places: dict[Path, Path], num_workers: int = 1) -> None:
        """Convert each recording to its place; one that fails is recorded and does not stop the rest."""
        with ThreadPoolExecutor(num_workers, "conversion") as pool:
            try:
                done = list(pool.map(self._convert, places, places.values()))
            except BaseException:  # Ctrl-C: what runs ends, what waits does not begin
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self.files = [row for row, _ in done if row is not None]
        self.failures = [failure for _, failure in done if failure is not None]

    def _convert(self, path: Path, place: Path) -> tuple[dict[str, Any] | None, dict[str, str] | None]:
        """Return the row of the report and the failure of one recording."""
        try:
            row = self.before.find(path, place)
            if row is not None:
                self._tell(f"{path.name}: converted before -> {row['output']}")
                return row, None
            row = self.convert_one(path, place)
        except (DataError, FormatError) as error:
            return None, self._failure(path, str(error))
        failure = None
        if not row["has_same_length"]:
            failure = self._failure(path, f"{row.pop('wrong_length')}; {place} holds them")
        else:
            self.before.add(row)
        self._tell(_line(row))
        return row, failure

    def convert_one(self, path: Path, place: Path) -> dict[str, Any]:
        """Convert a recording and return its row of the report."""
        rate, settings, used, note = self.session.sample_rate, self.settings, dict(self.controls), None
        with ExitStack() as stack:
            sounds = stack.enter_context(OpenedChannels(path, rate, settings.keeps_channels))
            source = sounds.first
            source_pitch = track_pitch(self._meter, source, rate)
            if self.target is not None:
                used["pitch_shift"], note = self._shift(source_pitch, self.target)
            started, results = time.perf_counter(), []
            for sound in sounds:
                made = stack.enter_context(SpooledSound())
                convert_into(self.session, sound, used, made, keeps_length=False)
                results.append(made)
            first = results[0]
            has_same_length = len(first) == len(source)
            write_sounds(
                results,
                place,
                settings.kind,
                from_rate=rate,
                rate=settings.sample_rate,
                length=round(len(first) * settings.sample_rate / rate),
                tags=read_tags(path) if settings.keeps_tags else {},
            )
            self._keep_example(source.read(0, min(len(source), round(SPEED_SECONDS * rate))))
            taken, seconds = time.perf_counter() - started, len(source) / rate
            row: dict[str, Any] = {
                "file": utf8_text(str(path)),
                "output": utf8_text(str(place)),
                "seconds": round(seconds, 3),
                "rate": settings.sample_rate,
                "original_rate": source.original_rate,
                "original_channels": source.original_channels,
                "is_resampled": source.original_rate != rate,
                "problem": source.problem,
                "note": note,
                "controls": used,
                "conversion_real_time_factor": taken / max(seconds, 1e-3),
                "has_same_length": has_same_length,
                "key": self.before.key(path),
                "output_bytes": place.stat().st_size,
                **conversion_figures(self._meter, source, source_pitch, first, rate),
            }
            if not has_same_length:
                row["wrong_length"] = f"the graph made {len(first)} samples of {len(source)}"
            return row

    @property
    def _meter(self) -> PitchMeter:
        """The pitch meter of this thread."""
        if not hasattr(self._local, "meter"):
            self._local.meter = PitchMeter()
        meter: PitchMeter = self._local.meter
        return meter

    @staticmethod
    def _shift(pitch: Pitch, target: PitchTarget) -> tuple[float, str | None]:
        """Return the pitch_shift of a recording, and what is to be said of it."""
        shift = limited_shift(automatic_shift(pitch, target.median_hz, target.step))
        return shift, None if is_pitch_known(pitch) else UNKNOWN_PITCH

    def _keep_example(self, audio: np.ndarray) -> None:
        with self._lock:
            if self.example is None:
                self.example = audio

    def _failure(self, path: Path, reason: str) -> dict[str, str]:
        self._tell(f"FAILED {path.name}: {reason}")
        return {"file": utf8_text(str(path)), "reason": utf8_text(reason)}

    def _tell(self, line: str) -> None:
        with self._lock:
            self._announce(line)


def _line(row: dict[str, Any]) -> str:
    channels = {1: "mono", 2: "stereo"}.get(row["original_channels"], f"{row['original_channels']} channels")
    rate = f"{row['original_rate']} Hz"
    kept = f"{rate} as the {'recording' if row['is_resampled'] else 'graph'}"
    change = kept if row["original_rate"] == row["rate"] else f"{rate} resampled to {row['rate']} Hz"
    shift = f", pitch {row['controls']['pitch_shift']:+g} st" if "pitch_shift" in row["controls"] else ""
    problem = f" (DAMAGED: {row['problem']})" if row["problem"] else ""
    problem += f" ({row['note']})" if row["note"] else ""
    return f"{Path(row['file']).name}: {row['seconds']:.2f} s, {channels}, {change}{shift} -> {row['output']}{problem}"
