"""What must not get through a voice: who the source is, noise as words, sound out of silence."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from utils.audio.io import load_audio, resample
from utils.evaluation.evaluators import Evaluators
from utils.evaluation.metrics import cosine_similarity
from utils.evaluation.optional_packages import EVALUATION_RATE
from utils.inference.measures import PitchMeter, compare_pitch, measure_level
from utils.inference.pipeline import convert
from utils.inference.session import VoiceSession

STRANGER_MARGIN = 0.05  # above random strangers, that the similarity to the source may stand
# cosine from which two recordings are of one speaker: between strangers and one voice, evaluator_scales_any_2026-11-21
SAME_SPEAKER = {"resemblyzer": 0.70, "ecapa": 0.40}
FEWEST_STRANGERS = 3
SILENCE_DB = -60.0
SECONDS = 3.0
NOISE_DB = -45.0  # level of a quiet room
BREATH_DB = -35.0
VOICED_SHARE = 0.05  # of frames that a pitch tracker may take for voiced in converted noise
IDENTITY_CLIPS = 4
IDENTITY_F0 = 0.9
IDENTITY_BANDS_DB = 6.0

Tone = Literal["good", "bad", "none"]


class LeakCheck(NamedTuple):
    """A check: its name, "good", "bad" or "none" (not tried), and the figures with their limits in words."""

    name: str
    outcome: Tone
    detail: str


def identity_checks(evaluators: Evaluators, pairs: Sequence[tuple[Path, Path]]) -> list[LeakCheck]:
    """Check that conversions are no more like their sources than like other speakers.

    Args:
        evaluators: those of speakers are asked.
        pairs: (source, converted file).
    """
    name = "the source's identity does not survive"
    if not evaluators.speakers:
        return [LeakCheck(name, "none", "no evaluator of speakers is installed")]
    checks = []
    for label, evaluator in evaluators.speakers.items():
        sources = [evaluator.embed(load_audio(source, EVALUATION_RATE)) for source, _ in pairs]
        outputs = [evaluator.embed(load_audio(output, EVALUATION_RATE)) for _, output in pairs]
        own, strangers = [], []
        for index, output in enumerate(outputs):
            others = [
                item for item in sources if cosine_similarity(item, sources[index]) < SAME_SPEAKER.get(label, 0.5)
            ]
            if len(others) >= FEWEST_STRANGERS:
                own.append(cosine_similarity(output, sources[index]))
                strangers.append(float(np.mean([cosine_similarity(output, item) for item in others])))
        if not own:
            words = f"{label}: the sources are of fewer than {FEWEST_STRANGERS + 1} speakers, so there are no strangers"
            checks.append(LeakCheck(name, "none", f"{words}; give sources= of more"))
            continue
        value, limit = float(np.mean(own)), float(np.mean(strangers)) + STRANGER_MARGIN
        words = f"{label}: similarity to the source {value:.3f}, to random strangers {limit - STRANGER_MARGIN:.3f}"
        checks.append(LeakCheck(name, "good" if value <= limit else "bad", f"{words} (allowed {limit:.3f})"))
    return checks


def sound_checks(session: VoiceSession, target: Sequence[Path], controls: dict[str, float]) -> list[LeakCheck]:
    """Check what a voice makes of silence, of noise, of breath and of the target's own recordings.

    Args:
        session: the voice.
        target: recordings of the target.
        controls: values of its optional inputs, without a shift of the pitch.
    """
    rate = session.sample_rate
    meter = PitchMeter()
    silence = measure_level(convert(session, np.zeros(round(SECONDS * rate), np.float32), controls)).rms_db
    checks = [
        LeakCheck(
            "silence stays silent",
            "good" if silence <= SILENCE_DB else "bad",
            f"digital silence becomes {silence:.0f} dB (allowed {SILENCE_DB:.0f})",
        )
    ]
    sounds = (("room noise", room_noise(rate), NOISE_DB), ("breath", breath(rate), BREATH_DB))
    for name, sound, level_db in sounds:
        audio = at_level(sound, level_db)
        made = convert(session, audio, controls)
        before, after = measure_level(audio).rms_db, measure_level(made).rms_db
        voiced = float(np.mean(meter.track(made, rate).f0_hz > 0))
        is_good = after <= before and voiced <= VOICED_SHARE
        words = f"{before:.0f} dB becomes {after:.0f} dB (allowed: no louder), {100 * voiced:.0f} % of frames voiced"
        limit = f"(allowed {100 * VOICED_SHARE:.0f} %)"
        checks.append(LeakCheck(f"{name} does not become words", "good" if is_good else "bad", f"{words} {limit}"))
    return [*checks, _identity_conversion(session, target, controls, meter)]


def room_noise(sample_rate: int) -> np.ndarray:
    """Return noise whose power falls by 3 dB an octave, [T] of SECONDS, as that of a quiet room."""
    count = round(SECONDS * sample_rate)
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(count))
    frequency = np.maximum(np.fft.rfftfreq(count, 1 / sample_rate), 20.0)
    return np.fft.irfft(spectrum / np.sqrt(frequency), count).astype(np.float32)


def breath(sample_rate: int) -> np.ndarray:
    """Return two breaths, [T] of SECONDS: noise from 300 Hz to 6 kHz that swells and fades."""
    count = round(SECONDS * sample_rate)
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / sample_rate)
    shape = (frequency / 300) ** 2 / (1 + (frequency / 300) ** 2) / (1 + (frequency / 3000) ** 2)
    swell = np.sin(2 * np.pi * np.arange(count) / count) ** 2
    return (np.fft.irfft(spectrum * shape, count) * swell).astype(np.float32)


def at_level(audio: np.ndarray, level_db: float) -> np.ndarray:
    """Return audio [T] at a level in dB of full scale."""
    scaled: np.ndarray = audio * np.float32(10 ** ((level_db - measure_level(audio).rms_db) / 20))
    return scaled


def _identity_conversion(
    session: VoiceSession, target: Sequence[Path], controls: dict[str, float], meter: PitchMeter
) -> LeakCheck:
    """Convert the target's own recordings: little may change."""
    rate = session.sample_rate
    correlations, bands = [], []
    for path in target[:IDENTITY_CLIPS]:
        audio = load_audio(path, rate)
        made = convert(session, audio, controls)[: len(audio)]
        agreement = compare_pitch(meter.track(audio, rate), meter.track(made, rate))
        correlations += [agreement.correlation] if agreement.correlation is not None else []
        bands.append(_band_distance_db(resample(audio, rate, EVALUATION_RATE), resample(made, rate, EVALUATION_RATE)))
    name = "the target's own recordings stay near"
    if not correlations:
        return LeakCheck(name, "none", "the target's recordings have too few voiced frames")
    melody, distance = float(np.median(correlations)), float(np.median(bands))
    is_good = melody >= IDENTITY_F0 and distance <= IDENTITY_BANDS_DB
    words = f"F0 correlation {melody:.2f} (at least {IDENTITY_F0}), bands differ by {distance:.1f} dB"
    return LeakCheck(name, "good" if is_good else "bad", f"{words} (allowed {IDENTITY_BANDS_DB:.0f})")


def _band_distance_db(first: np.ndarray, second: np.ndarray) -> float:
    """Return the median difference of 24 bands from 80 Hz to 7 kHz in loud frames, after levels are made equal."""
    powers = [_bands(audio) for audio in (first, second)]
    count = min(len(power) for power in powers)
    before, after = (10 * np.log10(power[:count] + 1e-9) for power in powers)
    loud = before.max(axis=1) > before.max() - 40
    gaps = (before - after)[loud]
    return float(np.median(np.abs(gaps - np.median(gaps))))


def _bands(audio: np.ndarray) -> np.ndarray:
    """Return the power of 24 bands, [F, 24], in frames of 32 ms each 16 ms."""
    rows = np.lib.stride_tricks.sliding_window_view(np.pad(audio, (0, 512)), 512)[::256]
    power = np.abs(np.fft.rfft(rows * np.hanning(512), axis=1)) ** 2
    edges = np.unique((np.geomspace(80, 7000, 25) * 512 / EVALUATION_RATE).round().astype(int))
    return np.stack([power[:, low:high].mean(axis=1) for low, high in itertools.pairwise(edges)], axis=1)
