"""What a dataset's recordings are like, as plots: levels, durations, spectrum, pitch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from utils.corpus.manifest import Clip
from utils.corpus.store import CorpusStore
from utils.reports.charts import Axis, Chart, histogram, short

FRAME = 2048
MOST_FRAMES = 4000  # of the spectrum, spread over all clips
FLOOR_DB = -80.0
MOST_FLAGGED = 6  # clips to listen to, of those that the doctor would leave out
# Speech lies no more than this below its strongest band, up to where the recording ends.
BANDWIDTH_DB = 70.0
SMOOTHING_HZ = 150.0


class Spectrum(NamedTuple):
    """Long-term spectrum of speech.

    Attributes:
        frequency_hz: [N].
        level_db: [N], the level that a tenth of the frames exceeds, 0 for the strongest band.
        bandwidth_hz: the highest frequency that is less than BANDWIDTH_DB below it.
        sample_rate: samples per second.
    """

    frequency_hz: np.ndarray
    level_db: np.ndarray
    bandwidth_hz: float
    sample_rate: int

    @property
    def is_full(self) -> bool:
        """Whether the recordings reach the upper end of the spectrum."""
        return self.bandwidth_hz >= 0.8 * self.sample_rate / 2


def dataset_charts(store: CorpusStore) -> list[Chart]:
    """Return the plots of a dataset: durations, levels, pitch, spectrum."""
    clips = store.clips
    seconds = np.array([clip.duration_seconds for clip in clips])
    charts = [histogram(seconds, "Length of the clips", "seconds", what="clips")]
    loudness = _frames(store, "loudness_db", clips)
    loud = loudness[loudness > FLOOR_DB + 1]
    if len(loud):
        chart = histogram(loud, "Level of the frames", "dB", what="frames")
        chart.note = "two hills, speech and pauses, far apart are good; one broad hill is noise or reverberation"
        charts.append(chart)
    f0_hz = _frames(store, "f0_hz", clips)
    voiced = f0_hz[f0_hz > 0]
    if len(voiced):
        chart = histogram(voiced, "Pitch of the voiced frames", "Hz", what="voiced frames", is_log=True)
        chart.note = "a hill of its own an octave away is a tracker's error, or another speaker"
        charts.append(chart)
    charts.append(spectrum_chart(long_term_spectrum(store)))
    return charts


def long_term_spectrum(store: CorpusStore) -> Spectrum:
    """Measure the spectrum of up to MOST_FRAMES loud frames, spread over the clips."""
    rate = store.audio.sample_rate
    each = max(1, MOST_FRAMES // len(store.clips))
    rows = [_loud_rows(store.waveform(clip), each) for clip in _spread(store.clips, MOST_FRAMES)]
    frames = np.concatenate(rows) if rows else np.zeros((1, FRAME), np.float32)
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME).astype(np.float32), axis=1)) ** 2
    level = 10 * np.log10(np.percentile(power, 90, axis=0) + 1e-12)
    width = max(1, round(SMOOTHING_HZ * FRAME / rate))
    level = np.convolve(np.pad(level, width // 2, mode="edge"), np.ones(width) / width, mode="valid")[: power.shape[1]]
    frequency = np.arange(len(level)) * rate / FRAME
    level -= level.max()
    above = np.flatnonzero(level > -BANDWIDTH_DB)
    return Spectrum(frequency, level, float(frequency[above[-1]]) if len(above) else 0.0, rate)


def spectrum_chart(spectrum: Spectrum) -> Chart:
    """Return the plot of a spectrum, with the true bandwidth marked."""
    top = spectrum.sample_rate / 2
    words = f"Spectrum: the recordings reach {short(spectrum.bandwidth_hz)} Hz of {short(top)} Hz."
    chart = Chart(
        "Spectrum", words, Axis(100.0, top, True), Axis(-100.0, 3.0), "Hz", "dB",
        "where it falls like a wall, the recording once had a lower rate: another audio= group fits it",
    )  # fmt: skip
    points = [(float(hz), float(db)) for hz, db in zip(spectrum.frequency_hz, spectrum.level_db, strict=True)]
    chart.add_line("level", [point for point in points if point[0] >= 100.0], 0)
    chart.add_mark(spectrum.bandwidth_hz, f"reaches {short(spectrum.bandwidth_hz)} Hz")
    return chart


class Remarkable(NamedTuple):
    """A clip that stands out, and why."""

    clip: Clip
    reason: str


def remarkable_clips(store: CorpusStore, flagged: Sequence[str] = ()) -> list[Remarkable]:
    """Return the clips that stand out most: loudest, quietest, highest, lowest, longest; one clip stands once.

    Args:
        store: the dataset.
        flagged: recordings that the doctor would leave out, which come first.
    """
    levels = [_median(store.feature("loudness_db", clip), FLOOR_DB + 1) for clip in store.clips]
    pitches = [_median(store.feature("f0_hz", clip), 0.0) for clip in store.clips]
    seconds = [clip.duration_seconds for clip in store.clips]
    found = [Remarkable(clip, "the doctor would leave it out") for clip in store.clips if clip.source in flagged]
    found = found[:MOST_FLAGGED]
    for values, choose, words, unit in (
        (levels, max, "loudest", "dB"),
        (levels, min, "quietest", "dB"),
        (pitches, max, "highest", "Hz"),
        (pitches, min, "lowest", "Hz"),
        (seconds, max, "longest", "s"),
    ):
        known = [(value, index) for index, value in enumerate(values) if value is not None]
        if known:
            value, index = choose(known)
            clip = store.clips[index]
            if all(item.clip.id != clip.id for item in found):
                found.append(Remarkable(clip, f"{words}: {short(value)} {unit}"))
    return found


def _frames(store: CorpusStore, name: str, clips: Sequence[Clip]) -> np.ndarray:
    return np.concatenate([store.feature(name, clip) for clip in _spread(clips, 2000)])


def _loud_rows(audio: np.ndarray, most: int) -> np.ndarray:
    """Return the loudest frames of audio [T], [N, FRAME]."""
    padded = np.pad(audio, (0, max(0, FRAME - len(audio))))
    rows = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[:: FRAME // 2]
    order = np.argsort(-np.square(rows).sum(axis=1), kind="stable")
    chosen: np.ndarray = rows[order[: max(1, min(most, len(rows) // 2))]]
    return chosen


def _median(values: np.ndarray, above: float) -> float | None:
    kept = values[values > above]
    return float(np.median(kept)) if len(kept) else None


def _spread(items: Sequence[Clip], limit: int) -> list[Clip]:
    if len(items) <= limit:
        return list(items)
    return [items[int(index)] for index in np.linspace(0, len(items) - 1, limit).round()]
