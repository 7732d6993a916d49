"""Rules about what comes out for audio in one piece: length, level, silence, hostile input, delay."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from utils.verification.alignment import COPY, copy_faults, copy_likeness, level_delay, spectral_difference_db
from utils.verification.candidate import Candidate
from utils.verification.cases import Case
from utils.verification.checks import Check, skipped, verdict
from utils.verification.listening import VOICED, Heard
from utils.verification.measures import LOUDEST_PEAK, SILENCE_PEAK, faults, levels, relative_db, relative_difference
from utils.verification.reference import Reference, limit_of_parity_db
from utils.verification.signals import bursts, hostile, speech_like, swelling_noise
from utils.verification.voices import Voice

BATCH_DB = -80.0
LATENCY_SECONDS = 1e-3
IMPOSED_LATENCY_SECONDS = 4e-4  # the middle of five; up to 0.1 ms on sound voices, each alone up to 0.2 ms
NOISE_SEEDS = (2, 3, 4, 5, 6)
ATTACK_SECONDS = 5e-3  # how far a voice's own attack moves its level; up to 2.5 ms were measured on trained voices
LEAST_LIKENESS = 0.9  # of the levels of input and output, below which no delay can be told
LATENCY_TEST_SECONDS = 4.0
COPY_TEST_SECONDS = 4.0
STREAM_COPY_TEST_SECONDS = 1.5
LONG_TAIL_SECONDS = 10.0
LONG_DRIFT_DB = 6.0
LONG_CHANGE_DB = 4.5  # sound voices have 1.2 to 3.1
LONG_CENTS, PITCH_FRAMES, LEAST_VOICED_FRAMES = 100.0, 200, 40
LEAST_CLICK, CLICK_RATIO = 0.1, 3.0  # a step between samples: of full scale, and against those near it at other times
CLICK_WINDOWS_PER_SECOND, CLICK_REACH, CLICK_EDGE = 200, 4, 20  # windows; around a joint the sound is not the same
LONG_SECOND_DB, LONG_SPEECH_DB = 20.0, 15.0  # a voice that does not follow the level moves by up to 8
MINUTE_SECONDS = 65.0
BATCH_SIZES = (2, 3, 4, 5, 8)
BATCH_STARTS = np.array((0, 2, 5, 9, 13, 1, 7, 11))  # tenths of a second
CONSTANTS = (
    0.0, -0.0, 1e-40, -1e-30, 1e-20, 1e-12, 1e-9, -1e-6, 1e-5, 1e-4, -3e-4, 1e-3, -0.003, 0.01, 0.03, -0.05, 0.1, 0.2,
    -0.25, 0.25, 0.3, 0.4, -0.5, 0.5, 0.6, 0.7, 0.75, -0.8, 0.9, 0.99, 1.0, -1.0, 1.5, 2.0, -4.0, 8.0, 100.0, -1e6,
    1e30, -1e30,
)  # fmt: skip


def check_lengths(candidate: Candidate) -> Check:
    """As many samples come out as went in, from one sample on and around every size of block."""
    rate = candidate.sample_rate
    hop = rate // 100
    blocks = {value + step for value in (hop, 2 * hop, 10 * hop, 4410, 4800, 19200) for step in (-1, 0, 1)}
    lengths = sorted({*range(1, 25), 63, 64, 65, 127, 128, 512, 1023, 1024, *blocks})
    source = speech_like(rate, max(lengths), 3)[None]
    wrong = [length for length in lengths if candidate.run(source[:, :length]).shape != (1, length)]
    problems = [f"wrong for {wrong}"] * bool(wrong)
    return verdict("length rule", problems, f"{len(lengths)} lengths from 1 to {max(lengths)} samples")


def check_case(candidate: Candidate, reference: Reference | None = None, *, case: Case) -> Check:
    """Length, finiteness, level, silence, conversion and, with a reference, equality with PyTorch for one input."""
    audio = case.audio(candidate.sample_rate)
    output = candidate.run(audio)
    problems = faults(output, audio, is_sound=case.is_sound)
    if case.is_sound and not problems:
        problems += copy_faults(audio, output, candidate.sample_rate)
    if not problems and case.silent_from is not None:
        start = round(case.silent_from * candidate.sample_rate)
        peak = float(np.abs(output[:, start:]).max(initial=0.0))
        if peak > SILENCE_PEAK:
            problems.append(f"peak {peak:.1e} where the input is silent (allowed {SILENCE_PEAK:.0e})")
    if problems:
        return verdict(case.name, problems, "")
    if reference is None:
        return Check(case.name, True, levels(output))
    return _compared(case.name, audio, output, reference)


def check_hostile(candidate: Candidate) -> Check:
    """No input makes NaN or infinity."""
    inputs = hostile(candidate.sample_rate)
    outputs = {name: candidate.run(audio) for name, audio in inputs.items()}
    wrong = [name for name, output in outputs.items() if not np.isfinite(output).all()]
    peak = max((float(np.abs(outputs[name]).max()) for name in outputs if name not in wrong), default=0.0)
    problems = [f"not finite for: {', '.join(wrong)}"] * bool(wrong)
    return verdict("finite output", problems, f"{len(inputs)} hostile inputs, peak {peak:.2f}")


def check_constants(candidate: Candidate) -> Check:
    """A constant of any value, alone and in a batch, gives finite sound, not louder than it may be."""
    tenth = candidate.sample_rate // 10
    rows = np.repeat(np.array(CONSTANTS, np.float32)[:, None], tenth, axis=1)
    problems = []
    for answer, given in (
        (candidate.run(rows), CONSTANTS),
        *((candidate.run(row[None]), row[:1]) for row in rows[::4]),
    ):
        wrong = [f"{value:g}" for value, row in zip(given, answer, strict=True) if not _is_sound(row, value)]
        problems += [f"not finite or too loud for {', '.join(wrong[:4])}"] * bool(wrong)
    return verdict("constants of any value", problems[:2], f"{len(CONSTANTS)} values from -1e30 to 1e30")


def _is_sound(row: np.ndarray, value: float) -> bool:
    loudest = LOUDEST_PEAK if abs(value) <= 1 else math.inf
    return bool(np.isfinite(row).all() and np.abs(row).max(initial=0.0) <= loudest)


def check_repetition(candidate: Candidate) -> Check:
    """The same input gives the same samples: again, after other audio, and in a session of its own."""
    audio, other = candidate.speech(1.0, 8)[None], candidate.speech(0.3, 9)[None]
    first = candidate.run(audio)
    problems = [] if np.array_equal(first, candidate.run(audio)) else ["a second run gives other samples"]
    candidate.run(other)
    if not problems and not np.array_equal(first, candidate.run(audio)):
        problems.append("after other audio it gives other samples")
    if not np.array_equal(first, candidate.again.run(audio)):
        problems.append("another session gives other samples")
    return verdict("same input, same output", problems, "bit for bit")


def check_batch(candidate: Candidate, reference: Reference | None = None) -> Check:
    """Each row of a batch, of 2 to 8 rows, is converted as if it were alone, also beside a broken one."""
    speech = candidate.speech(2.0, 8)
    rows = np.stack(
        [speech[start : start + candidate.sample_rate // 2] for start in BATCH_STARTS * candidate.sample_rate // 10]
    )
    alone = np.concatenate([candidate.run(row[None]) for row in rows])
    worst, where = -math.inf, ""
    for count in BATCH_SIZES:
        made = candidate.run(rows[:count])
        places = {f"row {number + 1} of {count}": number for number in range(count)}
        worst, where = _worse(worst, where, {name: (made[place], alone[place]) for name, place in places.items()})
    broken = np.concatenate([np.full_like(rows[:1], np.nan), rows[:2]])
    made = candidate.run(broken)[1:]
    beside = {f"row {number + 1} beside NaN": (made[number], alone[number]) for number in range(2)}
    worst, where = _worse(worst, where, beside)
    allowed = BATCH_DB if reference is None else min(BATCH_DB, reference.parity_db)
    problems = [] if worst <= allowed else [f"{where}: in a batch it differs by {worst:.1f} dB (allowed {allowed:.3g})"]
    detail = f"within {worst:.1f} dB of what each row gives alone"
    return verdict("batch rows independent", problems, detail, {"batch_db": worst})


def _worse(worst: float, where: str, pairs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> tuple[float, str]:
    for name, pair in pairs.items():
        difference = relative_db(*pair)
        if not difference <= worst:
            worst, where = difference, name
    return worst, where


def check_latency(voice: Voice) -> Check:
    """The level of the output follows that of the input without delay.

    A voice answers artificial bursts with an attack of its own, which moves its level by some milliseconds although
    nothing is late. So the voice's own level shows delays of half a frame and more, and the level that the graph
    imposes with loudness_mix=0, where it has that control, shows what is left: on noise, in which no pulse of a voice
    comes earlier or later than its frame.
    """
    rate = voice.sample_rate
    source = bursts(rate, round(LATENCY_TEST_SECONDS * rate), 6)
    own = level_delay(source, voice.answer(source), rate)
    imposed, limit, allowed = own, LATENCY_SECONDS, LATENCY_SECONDS
    if "loudness_mix" in voice.controls:
        noises = [swelling_noise(rate, round(LATENCY_TEST_SECONDS * rate), seed) for seed in NOISE_SEEDS]
        made = [voice.answer(noise, {"loudness_mix": 0.0}) for noise in noises]
        delays = sorted(
            (level_delay(*pair, rate) for pair in zip(noises, made, strict=True)), key=lambda item: item.seconds
        )
        followed = delays[len(delays) // 2]
        if followed.correlation >= LEAST_LIKENESS:
            imposed, limit, allowed = followed, IMPOSED_LATENCY_SECONDS, ATTACK_SECONDS
        else:  # a voice that has learnt little makes noise of noise; silence and sound it does tell apart
            followed = level_delay(source, voice.answer(source, {"loudness_mix": 0.0}), rate)
            if followed.correlation >= LEAST_LIKENESS:
                imposed, allowed = followed, ATTACK_SECONDS
    problems = []
    if not imposed.correlation >= LEAST_LIKENESS:  # also for NaN
        problems.append(f"the output's level does not follow the input's (correlation {imposed.correlation:.2f})")
    elif abs(imposed.seconds) > limit:
        problems.append(f"{1000 * imposed.seconds:+.2f} ms; allowed: {1000 * limit:g}")
    # an untrained voice has no level of its own that could be followed
    elif own.correlation >= LEAST_LIKENESS and abs(own.seconds) > allowed:
        problems.append(f"{1000 * own.seconds:+.2f} ms by the voice's own level; allowed: {1000 * allowed:g}")
    detail = f"{1000 * imposed.seconds:+.2f} ms, {1000 * own.seconds:+.2f} ms by the voice's own level"
    figures = {
        "latency_seconds": imposed.seconds,
        "level_correlation": imposed.correlation,
        "own_latency_seconds": own.seconds,
        "own_level_correlation": own.correlation,
    }
    return verdict("latency", problems, detail, figures)


def has_no_level_to_follow(check: Check) -> bool:
    """Whether a check of the latency could not tell any delay, because the level of the output is not the input's."""
    return not check.figures["level_correlation"] >= LEAST_LIKENESS  # also for NaN


def check_conversion(candidate: Candidate) -> Check:
    """The output is a sound, and not the input again, at any gain or small delay."""
    source = candidate.speech(STREAM_COPY_TEST_SECONDS if candidate.is_stream else COPY_TEST_SECONDS, 7)
    made = candidate.convert(source)
    likeness = copy_likeness(source, made, candidate.sample_rate)
    sounds = float(np.abs(made).max()) > SILENCE_PEAK
    detail = (
        f"correlation with the input at most {likeness:.2f} (a copy: from {COPY:g} on), "
        f"relative difference {relative_difference(made, source):.2g}; {levels(made)}"
    )
    return Check("not the dry signal", likeness < COPY and sounds, detail, {"copy_likeness": likeness})


def check_minute(candidate: Candidate) -> Check:
    """More than a minute in one piece is converted from its first second to its last."""
    if candidate.extent.minutes * 60 >= MINUTE_SECONDS:
        return skipped("longer than a minute", "part of the long recording")
    if not candidate.extent.listens:
        return skipped("longer than a minute", "left out")
    return replace(_long(candidate, MINUTE_SECONDS / 60), name="longer than a minute")


def check_long(candidate: Candidate) -> Check:
    """Minutes of audio in one piece: length, level in each second, and an end that sounds as if it were alone."""
    minutes = candidate.extent.minutes
    if minutes and candidate.extent.listens and minutes * 60 < MINUTE_SECONDS:
        return skipped("long recording", "part of what is longer than a minute")
    return _long(candidate, minutes) if minutes else skipped("long recording", "left out")


def _long(candidate: Candidate, minutes: float) -> Check:
    pattern = candidate.speech(31.0, 11)
    audio = np.resize(pattern, max(1, round(60 * minutes * candidate.sample_rate)))
    started = time.perf_counter()
    output = candidate.run(audio[None])
    factor = (time.perf_counter() - started) / (len(audio) / candidate.sample_rate)
    problems = faults(output, audio[None], is_sound=True)
    figures = {"long_real_time_factor": factor}
    detail = f"{levels(output)}, {factor:.3f} x real time"
    if not problems:
        tail = min(len(audio), round(LONG_TAIL_SECONDS * candidate.sample_rate))
        half = tail // 2
        alone = candidate.run(audio[None, -tail:])[0, half:]
        drift = spectral_difference_db(output[0, len(audio) - tail + half :], alone, candidate.sample_rate)
        figures["long_drift_db"] = drift
        detail += f", its end {drift:.1f} dB from the end alone (allowed {LONG_DRIFT_DB:g})"
        problems += [detail] if not drift <= LONG_DRIFT_DB else []
        problems += _strange_seconds(audio, output[0], candidate.sample_rate)
        again, worst = _changed_seconds(output[0], len(pattern), candidate.sample_rate)
        again += _clicks(output[0], len(pattern), candidate.sample_rate)
        problems += again or _changed_pitch(output[0], len(pattern), candidate.sample_rate)
        figures["long_change_db"] = worst
        problems += copy_faults(audio[None, -tail:], output[:, -tail:], candidate.sample_rate)
    return verdict(f"{minutes:g} minutes", problems, detail, figures)


def _strange_seconds(audio: np.ndarray, output: np.ndarray, sample_rate: int) -> list[str]:
    """Say which second is much softer or louder against its input than the others."""
    count = len(audio) // sample_rate
    powers = (
        np.square(signal[: count * sample_rate].reshape(count, -1), dtype=np.float64).mean(axis=1)
        for signal in (audio, output)
    )
    source, made = (10 * np.log10(power + 1e-12) for power in powers)
    chosen = np.flatnonzero(source > np.median(source) - LONG_SPEECH_DB)
    apart = (made - source)[chosen] - np.median((made - source)[chosen]) if len(chosen) else np.zeros(0)
    far = np.flatnonzero(np.abs(apart) > LONG_SECOND_DB)[:1]
    return [f"second {chosen[place]} is {apart[place]:+.0f} dB from the others" for place in far]


def _changed_seconds(output: np.ndarray, period: int, sample_rate: int) -> tuple[list[str], float]:
    """Say which second does not sound as the same sound did before, and how far they are apart at most, in dB."""
    worst, place = 0.0, 0
    for start in range(period, len(output) - sample_rate + 1, sample_rate):
        before = start % period
        if before + sample_rate > period:  # across the end of the first time
            continue
        one, other = (output[first : first + sample_rate] for first in (before, start))
        apart = spectral_difference_db(one, other, sample_rate)
        if not apart <= worst:
            worst, place = apart, start
    second = place // sample_rate
    problems = [f"second {second} is {worst:.1f} dB from the same sound before (allowed {LONG_CHANGE_DB:g})"]
    return problems * (not worst <= LONG_CHANGE_DB), worst


def _clicks(output: np.ndarray, period: int, sample_rate: int) -> list[str]:
    """Say which second has a step between two samples that the same sound has not at another time."""
    steps, window = np.abs(np.diff(output)), sample_rate // CLICK_WINDOWS_PER_SECOND
    for start in range(period, len(steps), period):
        count = min(period, len(steps) - start) // window
        if count <= 2 * CLICK_EDGE:
            continue
        parts = [steps[first : first + count * window].reshape(count, window).max(axis=1) for first in (0, start)]
        for (one, other), first in ((parts, start), (parts[::-1], 0)):
            padded = np.pad(one, CLICK_REACH, mode="edge")
            near = np.lib.stride_tricks.sliding_window_view(padded, 2 * CLICK_REACH + 1).max(axis=1)
            is_click = (other > LEAST_CLICK) & (other > CLICK_RATIO * near)
            places = np.flatnonzero(is_click[CLICK_EDGE:-CLICK_EDGE])
            if len(places):
                second = (first + (places[0] + CLICK_EDGE) * window) // sample_rate
                return [f"second {second} has a click that the same sound has not at another time"]
    return []


def _changed_pitch(output: np.ndarray, period: int, sample_rate: int) -> list[str]:
    """Say where the same sound has another pitch than it had the first time."""
    if len(output) < 2 * period:
        return []
    f0_hz, likeness = Heard(output[: 2 * period], sample_rate).pitch
    count = len(f0_hz) // 2
    for start in range(0, count - PITCH_FRAMES, PITCH_FRAMES):
        places = np.arange(start, start + PITCH_FRAMES)
        voiced = places[(likeness[places] > VOICED) & (likeness[places + count] > VOICED)]
        cents = 1200 * np.log2(f0_hz[voiced + count] / f0_hz[voiced])
        if len(voiced) >= LEAST_VOICED_FRAMES and abs(float(np.median(cents))) > LONG_CENTS:
            second = (start + count) // 100
            return [f"from second {second} on the pitch is {np.median(cents):+.0f} cents from what it was before"]
    return []


def _compared(name: str, audio: np.ndarray, output: np.ndarray, reference: Reference) -> Check:
    """Return the outcome of a case whose answer is sound by itself: how near to PyTorch it is."""
    parity = relative_db(output, reference.plain(audio))
    detail, figures = f"{levels(output)}; PyTorch {parity:.0f} dB", {"parity_db": parity}
    if parity <= reference.parity_db:
        return Check(name, True, detail, figures)
    own = reference.own_change_db(audio)
    figures["own_change_db"] = own
    allowed = limit_of_parity_db(reference.parity_db, own)
    words = f"itself {own:.0f} dB when the last bit of its input or weights changes"
    problems = [] if parity <= allowed else [f"{parity:.1f} dB from PyTorch (allowed {allowed:.3g}; {words})"]
    return verdict(name, problems, f"{detail}, {words}", figures, is_warning=True)
