"""Rules about the optional inputs: each moves its own figure, in the right direction, by the right amount."""

import math

import numpy as np

from utils.verification.checks import Check, skipped, verdict
from utils.verification.listening import VOICED, Heard
from utils.verification.measures import relative_db
from utils.verification.speech_rules import NEAR_CENTS, is_idle
from utils.verification.voices import NUM_SENTENCES, Said, Voice
from utils.voice_file.controls import find_control

SHIFTS = ((3.0, 2), (-5.0, 2), (12.0, 1))  # semitones, and sentences: an octave above the first, lower one alone
SHIFT_CENTS = 20.0
LEAST_NEAR, LEAST_NEAR_OF_OCTAVE = 0.75, 0.4
MEDIAN_SEMITONES = 0.5  # by which the median of a tracker, or of what a stream has heard, may be off
MIX_DB, MIX_SHARE = 0.3, 0.2  # of how far own and imposed level are apart
LOUD_DB = -12.0
NO_EFFECT_DB = -60.0
SPEAKER_CENTS = 30.0
LEAST_TIMBRE_DB = 0.1


def check_shift(voice: Voice) -> Check:
    """pitch_shift by +3, -5 and +12 semitones moves the pitch by so much, within 20 cents."""
    name = "pitch_shift by its amount"
    if "pitch_shift" not in voice.controls or is_idle(voice, "pitch_shift"):
        return skipped(name, "nothing to shift")
    own, limit = voice.default("pitch_shift"), find_control("pitch_shift").high
    plain, problems = voice.said(0, NUM_SENTENCES, **voice.unmoved), []
    figures: dict[str, float] = {}
    for shift, num_sentences in SHIFTS:
        asked = shift if abs(own + shift) <= limit else -shift
        moved = voice.said(0, num_sentences, pitch_shift=own + asked)
        cents = _cents(plain, moved)
        near = np.abs(cents - 100 * asked) < NEAR_CENTS
        share = float(near.mean()) if len(near) else 0.0
        middle = float(np.median(cents[near])) / 100 if near.any() else 0.0
        figures |= {f"shift_of_{asked:g}": middle}
        least = LEAST_NEAR if abs(shift) < 12 else LEAST_NEAR_OF_OCTAVE
        if not (share >= least and abs(middle - asked) <= SHIFT_CENTS / 100):
            found = float(np.median(cents)) / 100 if len(cents) else 0.0
            problems.append(f"{asked:+g} gives {found:+.2f} semitones ({100 * share:.0f} % of the frames near)")
    detail = ", ".join(f"{key.rpartition('_')[2]} gives {value:+.2f}" for key, value in figures.items())
    return verdict(name, problems, f"{detail} semitones", figures)


def check_automatic(voice: Voice) -> Check:
    """An automatic pitch_shift moves the median of what is fed to that of the voice, by whole steps."""
    name, step = "automatic pitch", voice.pitch_step
    if step is None or voice.metadata is None:
        return skipped(name, "the default is a number")
    target = voice.metadata.speakers[int(voice.default("speaker_id"))].f0_median_hz
    problems, parts = [], []
    figures: dict[str, float] = {}
    for number in (0, 1):
        plain, moved = voice.said(number, 2, pitch_shift=0.0), voice.said(number, 2)
        cents = _cents(plain, moved)
        cents = cents if voice.block == 1 else cents[len(cents) // 2 :]  # a stream has to hear some voice first
        found = float(np.median(cents)) / 100 if len(cents) else math.nan
        wanted = 12 * math.log2(target / float(np.median(plain.f0_hz[plain.f0_hz > 0])))
        is_whole = math.isfinite(found) and abs(found - step * round(found / step)) <= SHIFT_CENTS / 100
        if not (is_whole and abs(found - wanted) <= 0.5 * step + MEDIAN_SEMITONES):
            problems.append(f"{found:+.2f} semitones where {wanted:+.2f} lead to the voice's median")
        parts.append(f"{found:+.2f} of {wanted:+.2f}")
        figures[f"automatic_shift_{number}"] = found
    return verdict(name, problems, f"steps of {step}: {', '.join(parts)} semitones to {target:.0f} Hz", figures)


def _cents(one: Said, other: Said) -> np.ndarray:
    """Return by how many cents the other is higher, for frames that are voiced in both and in the source."""
    count = min(one.num_frames, other.num_frames)
    pitches, likenesses = zip(*(said.made.pitch for said in (one, other)), strict=True)
    voiced = (one.f0_hz[:count] > 0) & (likenesses[0][:count] > VOICED) & (likenesses[1][:count] > VOICED)
    cents: np.ndarray = 1200 * np.log2(pitches[1][:count] / pitches[0][:count])[voiced]
    return cents


def check_mix(voice: Voice) -> Check:
    """loudness_mix in the middle gives a level in the middle between the voice's own and the input's."""
    name = "loudness_mix by its amount"
    if "loudness_mix" not in voice.controls:
        return skipped(name, "no such input")
    said = {value: voice.said(1, 1, speech_db=LOUD_DB, loudness_mix=value) for value in (0.0, 0.5, 1.0)}
    levels = {value: item.levels()[1][said[0.0].is_speech] for value, item in said.items()}
    apart = levels[0.5] - 0.5 * (levels[0.0] + levels[1.0])
    error = float(np.median(np.abs(apart)))
    own = float(np.median(np.abs(levels[1.0] - levels[0.0])))
    allowed = max(MIX_DB, MIX_SHARE * own)
    problems = [f"{error:.1f} dB from the middle (allowed {allowed:.1f})"] * (not error <= allowed)
    detail = f"{error:.2f} dB from the middle; own and imposed level {own:.1f} dB apart"
    return verdict(name, problems, detail, {"mix_error_db": error, "mix_reach_db": own})


def check_retrieval(voice: Voice) -> Check:
    """index_rate brings the voice's own frames in step by step, protect keeps them out of what is unvoiced."""
    name = "index_rate and protect by their amounts"
    if not {"index_rate", "protect"} <= voice.controls:
        return skipped(name, "no such inputs")
    if is_idle(voice, "index_rate"):
        return skipped(name, "the voice has no codebook")
    none, half, full, kept = (
        voice.said(0, 2, index_rate=rate, protect=protect)
        for rate, protect in ((0.0, 0.5), (0.5, 0.5), (1.0, 0.5), (1.0, 0.0))
    )
    if relative_db(full.made.samples, none.made.samples) <= NO_EFFECT_DB:
        stated = voice.metadata is not None and "idle_controls" in voice.metadata.extra
        return Check(name, not stated, "index_rate does nothing", is_skipped=not stated)
    off = voice.said(0, 2, index_rate=0.0, protect=0.0)
    whole = _distance(none, full)
    to_half, from_half = _distance(none, half), _distance(half, full)
    problems = []
    if not max(to_half, from_half) < whole:
        problems.append(
            f"index_rate=0.5 is {to_half:.1f} and {from_half:.1f} dB from 0 and 1, which are {whole:.1f} apart"
        )
    leak = relative_db(off.made.samples, none.made.samples)
    problems += [f"protect changes the sound by {leak:.0f} dB at index_rate=0"] * (not leak <= NO_EFFECT_DB)
    noisy, voiced = (_distance(none, item, unvoiced=True) for item in (kept, full)), _distance(full, kept, voiced=True)
    with_protection, without = noisy
    if not with_protection < 0.7 * without:
        problems.append(f"in unvoiced frames protect=0 leaves {with_protection:.1f} dB of {without:.1f}")
    if not voiced < 0.7 * whole:
        problems.append(f"protect changes voiced frames by {voiced:.1f} dB")
    figures = {
        "index_db": whole,
        "protected_db": with_protection,
        "unprotected_db": without,
        "protect_voiced_db": voiced,
    }
    detail = f"{whole:.1f} dB of timbre; in unvoiced frames {with_protection:.1f} of {without:.1f} dB with protect=0"
    return verdict(name, problems, detail, figures)


def _distance(one: Said, other: Said, *, unvoiced: bool = False, voiced: bool = False) -> float:
    """Return how far the timbres of two results are apart in dB, over speech, or its unvoiced or voiced part."""
    chosen = one.is_noisy if unvoiced else (one.f0_hz > 0) if voiced else one.is_speech
    count = one.num_frames
    difference = one.made.timbre_db[:count] - other.made.timbre_db[:count]
    return float(np.sqrt(np.mean(np.square(difference[chosen]))))


def check_speakers(voice: Voice) -> Check:
    """Another speaker_id is another timbre at the same pitch; one beyond the last is the last."""
    name = "speaker_id by its amount"
    count = len(voice.metadata.speakers) if voice.metadata is not None else 0
    if "speaker_id" not in voice.controls or count < 2:
        return skipped(name, "one speaker")
    numbers = (0, count - 1, count + 5)
    first, last, beyond = (voice.said(0, 1, speaker_id=number, **voice.unmoved) for number in numbers)
    apart = float(np.sqrt(np.mean(np.square(_timbre(first.made) - _timbre(last.made)))))
    cents = _cents(first, last)
    moved = float(np.median(cents)) if len(cents) else 0.0
    problems = [f"speakers 0 and {count - 1} are {apart:.2f} dB apart"] * (not apart >= LEAST_TIMBRE_DB)
    problems += [f"the pitch moves by {moved:+.0f} cents"] * (not abs(moved) <= SPEAKER_CENTS)
    same = np.array_equal(last.made.samples, beyond.made.samples)
    problems += [f"speaker_id={count + 5} is not the last speaker"] * (not same)
    return verdict(name, problems, f"{count} speakers, {apart:.1f} dB apart in timbre", {"speakers_db": apart})


def _timbre(heard: Heard) -> np.ndarray:
    timbre: np.ndarray = heard.timbre_db[heard.level_db > np.median(heard.level_db)].mean(axis=0)
    return timbre
