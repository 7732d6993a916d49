"""Rules that listen to speech through a voice: its words, its melody, its level. The speech is that of utterances.py.

Where the PyTorch voice of a graph does not keep one of them either, the rule is not judged: see rules.py.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from utils.verification.checks import Check, skipped, verdict
from utils.verification.listening import VOICED, Heard, agreement, shifted
from utils.verification.voices import NUM_SENTENCES, Said, Voice
from utils.voice_file.metadata import IDLE_KEY

LAG_FRAMES = 3  # 30 ms
LAG_MARGIN = 0.02
LATE_SECONDS = 0.006  # of the words, in the middle of three tracks
BACKWARDS_MARGIN = 0.15
LEAST = {"timbre": 0.3, "vowels": 0.3, "change": 0.4, "level": 0.8}
VOWEL_BANDS = 18  # up to about 4 kHz
LEVEL_RANGE_DB = 40.0  # what is softer counts as so much below the loudest
MOST_CENTS, MOST_SPREAD_CENTS = 40.0, 15.0
NEAR_CENTS = 250.0
LEAST_NEAR, LEAST_VOICED, MOST_VOICED_NOISE = 0.85, 0.7, 0.5
SPEAKERS = {"a high speaker": (1, 0.9), "a low speaker": (0, -0.45)}  # sentence and octaves: about 360 and 85 Hz
LEAST_VOICED_OF_RANGE, LEAST_NEAR_OF_RANGE = 0.05, 0.6  # a small network hardly has a voice there: 9 %
SLOPES = (0.9, 1.1)
LEAST_MELODY = 0.95
STEADY_FRAMES = 7
LEVELS_DB = (-50.0, -35.0, -6.0)
QUIETER_DB, LOUDER_DB = 20.0, 20.0
PAUSE_DB = -35.0


def check_content(voice: Voice) -> Check:
    """The words stay: timbre, its change and level follow the source's in time, more than backwards or 30 ms apart."""
    said = voice.said()
    source_db, made_db = (np.maximum(level, level.max() - LEVEL_RANGE_DB) for level in said.levels())
    tracks = {
        "timbre": (*_of_both(said, lambda heard: heard.timbre_db), said.is_speech),
        "vowels": (*_of_both(said, _vowels), said.is_speech & (said.f0_hz > 0)),
        "change": (*_of_both(said, lambda heard: heard.change_db), said.is_speech),
        "level": (source_db, made_db, np.ones(said.num_frames, bool)),
    }
    problems: list[str] = []
    figures: dict[str, float] = {}
    for name, (source, made, chosen) in tracks.items():
        lags = voice.lags if name != "level" else range(-1, 2)
        reach = range(lags.start - LAG_FRAMES, lags.stop + LAG_FRAMES)
        scores = {lag: agreement(source, shifted(made, -lag), chosen) for lag in reach}
        place = max(lags, key=scores.__getitem__)
        best, backwards = scores[place], agreement(source, made[::-1], chosen)
        beside = max(scores[place - LAG_FRAMES], scores[place + LAG_FRAMES])
        figures |= {f"{name}_agreement": best, f"{name}_backwards": backwards, f"{name}_beside": beside}
        figures[f"{name}_lag_seconds"] = 0.01 * _peak(scores, place)
        if not best > backwards + BACKWARDS_MARGIN:
            problems.append(f"{name} {best:.2f}, backwards {backwards:.2f}")
        if not best > beside + LAG_MARGIN:
            problems.append(f"{name} {best:.2f}, 30 ms apart {beside:.2f}")
    for name, least in LEAST.items():
        if not figures[f"{name}_agreement"] >= least:
            problems.append(f"{name} {figures[f'{name}_agreement']:.2f} (at least {least})")
    late = float(np.median([figures[f"{name}_lag_seconds"] for name in ("timbre", "vowels", "change")]))
    figures["words_late_seconds"] = late
    if voice.block == 1 and not abs(late) <= LATE_SECONDS:
        problems.append(f"the words are {1000 * late:+.0f} ms late (allowed {1000 * LATE_SECONDS:g})")
    detail = ", ".join(f"{name} {figures[f'{name}_agreement']:.2f}" for name in tracks)
    return verdict("content", problems, f"correlation with the source: {detail}", figures)


def _peak(scores: dict[int, float], place: int) -> float:
    """Return where between frames the scores around a place are highest."""
    left, middle, right = (scores[place + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    return place + float(np.clip(0.5 * (left - right) / bend, -1.0, 1.0)) if bend < 0 else float(place)


def _of_both(said: Said, track: Callable[[Heard], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return a track of source and result, [F] or [F, B], of equal length."""
    source, made = (track(heard)[: said.num_frames] for heard in (said.source, said.made))
    return source, made


def _vowels(heard: Heard) -> np.ndarray:
    """Return the timbre of the low bands alone [F, B]."""
    bands = heard.timbre_db[:, :VOWEL_BANDS]
    shape: np.ndarray = bands - bands.mean(axis=1, keepdims=True)
    return shape


def check_pitch(voice: Voice) -> Check:
    """The melody stays: voiced where the source is, its pitch moved by the shift alone, without steps."""
    if is_idle(voice, "pitch_shift"):
        return skipped("pitch", "the voice is not told the pitch")
    shift = voice.default("pitch_shift")
    said = voice.said(0, NUM_SENTENCES, **voice.unmoved)
    trials = [_melody(said, lag) for lag in voice.lags]
    # at the lag at which it fits best
    expected, found, is_voiced = min(trials, key=lambda trial: _scatter(trial, shift))
    cents = 1200 * np.log2(found / expected) - 100 * shift
    near = np.abs(cents) < NEAR_CENTS
    chosen = is_voiced & near
    figures = {
        "voiced_share": float(is_voiced.mean()),
        "near_share": float(near[is_voiced].mean()) if is_voiced.any() else 0.0,
    }
    problems = []
    if not figures["voiced_share"] >= LEAST_VOICED:
        problems.append(f"voiced in {100 * figures['voiced_share']:.0f} % of what is voiced")
    elif not figures["near_share"] >= LEAST_NEAR:
        octaves = float(np.median(cents[is_voiced])) / 1200
        problems.append(f"{octaves:+.2f} octaves from where it should be; near in {100 * figures['near_share']:.0f} %")
    else:
        problems += _melody_faults(np.log2(expected[chosen]), cents[chosen], figures)
    noisy = _voiced_share_of_noise(said)
    figures["voiced_noise_share"] = noisy
    if not noisy <= MOST_VOICED_NOISE:
        problems.append(f"{100 * noisy:.0f} % of the fricatives are voiced (allowed {100 * MOST_VOICED_NOISE:g})")
    detail = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
    return verdict("pitch", problems, detail, figures)


def check_range(voice: Voice) -> Check:
    """High and low speakers keep their pitch: that of children and of basses is neither cut off nor folded."""
    name = "pitch of high and low speakers"
    if is_idle(voice, "pitch_shift"):
        return skipped(name, "the voice is not told the pitch")
    shift = voice.default("pitch_shift")
    problems: list[str] = []
    figures: dict[str, float] = {}
    for speaker, (number, octaves) in SPEAKERS.items():
        said = voice.said(number, 1, octaves=octaves, **voice.unmoved)
        trials = [_melody(said, lag) for lag in voice.lags]
        expected, found, is_voiced = min(trials, key=lambda trial: _scatter(trial, shift))
        cents = 1200 * np.log2(found / expected) - 100 * shift
        middle = float(np.median(cents[is_voiced])) if is_voiced.any() else math.inf
        near = float(np.mean(np.abs(cents[is_voiced]) < NEAR_CENTS)) if is_voiced.any() else 0.0
        voiced = float(is_voiced.mean())
        figures |= {f"{speaker}_voiced_share": voiced, f"{speaker}_near_share": near, f"{speaker}_cents": middle}
        if not (voiced >= LEAST_VOICED_OF_RANGE and near >= LEAST_NEAR_OF_RANGE and abs(middle) <= MOST_CENTS):
            lowest, highest = expected.min(), expected.max()
            problems.append(
                f"{speaker}, {lowest:.0f} to {highest:.0f} Hz: {100 * near:.0f} % near, {middle:+.0f} cents"
            )
    detail = ", ".join(f"{speaker} {100 * figures[f'{speaker}_near_share']:.0f} % near" for speaker in SPEAKERS)
    return verdict(name, problems, detail, figures)


def _voiced_share_of_noise(said: Said) -> float:
    """Return in which share of the frames with noise alone the result is voiced; frames beside a vowel do not count."""
    inner = np.convolve(said.is_noisy, np.ones(3), "same") > 2.5
    return float((said.made.pitch[1][: said.num_frames] > VOICED)[inner].mean())


def _melody(said: Said, lag: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the f0 of steady voiced frames, that of the result so many frames later, and whether that is voiced."""
    found, likeness = (shifted(values[: said.num_frames], -lag) for values in said.made.pitch)
    steady = np.convolve(said.f0_hz > 0, np.ones(STEADY_FRAMES), "same") > STEADY_FRAMES - 0.5
    return said.f0_hz[steady], found[steady], likeness[steady] > VOICED


def _scatter(melody: tuple[np.ndarray, np.ndarray, np.ndarray], shift: float) -> float:
    expected, found, is_voiced = melody
    cents = np.abs(1200 * np.log2(found / expected) - 100 * shift)
    return float(np.median(cents[is_voiced])) if is_voiced.any() else math.inf


def _melody_faults(octaves: np.ndarray, cents: np.ndarray, figures: dict[str, float]) -> list[str]:
    middle = float(np.median(cents))
    spread = float(np.median(np.abs(cents - middle)))
    slope = 1 + float(np.polyfit(octaves, cents / 1200, 1)[0])
    correlation = float(np.corrcoef(octaves, octaves + cents / 1200)[0, 1])
    figures |= {"cents": middle, "spread_cents": spread, "slope": slope, "correlation": correlation}
    problems = [f"{middle:+.0f} cents from the source (allowed {MOST_CENTS:g})"] * (not abs(middle) <= MOST_CENTS)
    problems += [f"scattered by {spread:.0f} cents (allowed {MOST_SPREAD_CENTS:g})"] * (not spread <= MOST_SPREAD_CENTS)
    problems += [f"slope {slope:.2f} (allowed {SLOPES[0]} to {SLOPES[1]})"] * (not SLOPES[0] <= slope <= SLOPES[1])
    return problems + [f"correlation {correlation:.2f} (at least {LEAST_MELODY})"] * (not correlation >= LEAST_MELODY)


def is_idle(voice: Voice, control: str) -> bool:
    """Whether the file states that its voice gives a control nothing to act on."""
    stated = voice.metadata.extra.get(IDLE_KEY) if voice.metadata is not None else None
    return isinstance(stated, list) and control in stated


def power_db(levels_db: np.ndarray) -> float:
    """Return the mean of levels [F] as power, in dB; minus infinity of none."""
    return 10 * math.log10(float(np.mean(10 ** (levels_db / 10)))) if len(levels_db) else -math.inf


def check_levels(voice: Voice) -> Check:
    """Speech from -50 dB to full scale comes out near its own level, and the louder the louder."""
    pairs = {}
    for level in (*LEVELS_DB, None):
        said = voice.said() if level is None else voice.said(0, 1, speech_db=level)
        source, made = (power_db(levels[said.is_speech]) for levels in said.levels())
        pairs[source] = made
    sources = sorted(pairs)
    problems = [
        f"speech of {source:.0f} dB becomes {pairs[source]:.0f} dB"
        for source in sources
        if not -QUIETER_DB <= pairs[source] - source <= LOUDER_DB
    ]
    steps = [pairs[high] - pairs[low] for low, high in pairwise(sources)]
    problems += ["louder speech becomes softer"] * (not min(steps) >= -1.0)
    detail = ", ".join(f"{source:.0f} becomes {pairs[source]:.0f} dB" for source in sources)
    figures = {f"level_of_{source:.0f}_db": made for source, made in pairs.items()}
    return verdict("speech of any level", problems, detail, figures)
