"""Cut a recording into clips at its silences, without losing any sound."""

from typing import NamedTuple

import numpy as np

from utils.audio.frames import seconds_to_frames
from utils.config.preprocess import PreprocessSettings

SMOOTHING_FRAMES = 3  # a single frame between two glottal pulses of a deep voice is no silence
NOISE_PERCENTILE = 10.0
NOISE_MARGIN_DB = 6.0
JOIN_GAP_SECONDS = 2.0  # the longest silence kept inside a clip to give a short utterance company
CUT_SMOOTHING_FRAMES = 7


class Span(NamedTuple):
    """Frames [first, end) of a recording."""

    first: int
    end: int

    @property
    def length(self) -> int:
        """Number of frames."""
        return self.end - self.first


def find_clips(levels_db: np.ndarray, settings: PreprocessSettings) -> list[Span]:
    """Cut a recording into clips.

    Every frame that is louder than the silence threshold lies in exactly one clip; clips do not overlap. Clips have
    min_clip_seconds to max_clip_seconds; one is shorter only where a lone short sound has no neighbour.

    Args:
        levels_db: [F] level of each 10 ms frame relative to the loudness of the file.
        settings: the silence and clip keys.
    Returns:
        The clips in order; empty if every frame is silent.
    """
    active = smooth(levels_db, SMOOTHING_FRAMES) > silence_threshold_db(levels_db, settings)
    spans = _pad_and_merge(active, settings)
    longest, shortest = seconds_to_frames(settings.max_clip_seconds), seconds_to_frames(settings.min_clip_seconds)
    cut = [piece for span in spans for piece in _split_long(span, levels_db, shortest, longest)]
    return _join_short(cut, shortest, longest)


def silence_threshold_db(levels_db: np.ndarray, settings: PreprocessSettings) -> float:
    """Return the level below which a frame is silent: a little above the noise floor, inside the configured range."""
    floor = float(np.percentile(levels_db, NOISE_PERCENTILE)) + NOISE_MARGIN_DB
    return float(np.clip(floor, settings.silence_min_db, settings.silence_max_db))


def smooth(levels_db: np.ndarray, num_frames: int) -> np.ndarray:
    """Return the level in dB of the mean power over num_frames (odd) around each frame, [F]."""
    power = np.pad(10 ** (levels_db / 10), num_frames // 2, mode="edge")
    return 10 * np.log10(np.convolve(power, np.full(num_frames, 1 / num_frames), mode="valid") + 1e-20)


def _pad_and_merge(active: np.ndarray, settings: PreprocessSettings) -> list[Span]:
    """Return runs of sound with some silence kept around them; runs with a short pause between become one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    keep = round(settings.keep_silence_seconds * 100)
    pause = seconds_to_frames(settings.min_silence_seconds)
    runs: list[Span] = []
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and first - runs[-1].end < pause:
            runs[-1] = Span(runs[-1].first, end)
        else:
            runs.append(Span(first, end))
    return [Span(max(0, run.first - keep), min(len(active), run.end + keep)) for run in runs]


def _split_long(span: Span, levels_db: np.ndarray, shortest: int, longest: int) -> list[Span]:
    """Cut a span at its quietest frames so that no piece is longer than `longest` or shorter than `shortest`."""
    pieces: list[Span] = []
    while span.length > longest:
        # the second half of what is allowed, so that clips are not needlessly short
        low = span.first + max(shortest, longest // 2)
        high = min(span.first + longest, span.end - shortest)
        low = min(low, high)
        quiet = smooth(levels_db[low : high + 1], CUT_SMOOTHING_FRAMES)
        cut = low + int(np.argmin(quiet))
        pieces.append(Span(span.first, cut))
        span = Span(cut, span.end)
    return [*pieces, span]


def _join_short(spans: list[Span], shortest: int, longest: int) -> list[Span]:
    """Give each span that is too short to the nearer neighbour, when the two fit in one clip."""
    gap_limit = seconds_to_frames(JOIN_GAP_SECONDS)
    joined = list(spans)
    index = 0
    while index < len(joined):
        choices = [
            (joined[right].first - joined[right - 1].end, right)
            for right in (index, index + 1)
            if joined[index].length < shortest
            and 0 < right < len(joined)
            and joined[right].first - joined[right - 1].end <= gap_limit
            and joined[right].end - joined[right - 1].first <= longest
        ]
        if choices:
            right = min(choices)[1]
            joined[right - 1 : right + 1] = [Span(joined[right - 1].first, joined[right].end)]
            index = right - 1
        else:
            index += 1
    return joined
