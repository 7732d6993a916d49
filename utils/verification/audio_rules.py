"""Rules about what comes out for audio in one piece: level, silence, hostile input, delay, equality with PyTorch."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from utils.verification.alignment import (
    COPY,
    copy_faults,
    copy_likeness,
    level_delay,
    spectral_difference_db,
)
from utils.verification.candidate import (
    SILENCE_PEAK,
    Candidate,
    faults,
    levels,
    limit_of_parity_db,
    relative_db,
)
from utils.verification.checks import Check
from utils.verification.signals import bursts, speech_like

BATCH_DB = -80.0
LATENCY_SECONDS = 1e-3
ATTACK_SECONDS = 5e-3  # how far a voice's own attack moves its level; up to 2.5 ms were measured on trained voices
LEAST_LIKENESS = 0.9  # of the levels of input and output, below which no delay can be told
LATENCY_TEST_SECONDS = 4.0
WHOLE_SECONDS = 4.0
PAUSE_TAIL_SECONDS = 0.2  # sound may ring so long into a pause
LONG_TAIL_SECONDS = 10.0
LONG_DRIFT_DB = 6.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """Audio that a graph must answer as the contract says.

    Attributes:
        name: what the input is.
        audio: [B, T] float32.
        is_sound: whether the answer must be neither silent nor too loud.
        silent_from: every sample from here on must be silent; None for no such place.
    """

    name: str
    audio: np.ndarray
    is_sound: bool = False
    silent_from: int | None = None


def cases(rate: int) -> Iterator[Case]:
    """Yield every input whose answer is judged by itself, at a sample rate."""
    speech, quarter = speech_like(rate, round(WHOLE_SECONDS * rate), 12), rate // 4
    square = np.where(np.arange(quarter) % max(2, rate // 200) < max(1, rate // 400), 1.0, -1.0)
    holes = np.repeat(speech[None, -quarter:], 2, axis=0)
    holes[0, ::97], holes[1, ::89], holes[1, 1::83] = np.nan, np.inf, -np.inf
    paused = np.concatenate([speech[:rate], np.zeros(rate, np.float32)])
    ends = len(paused) - rate + round(PAUSE_TAIL_SECONDS * rate)
    yield Case(name="1 sample", audio=np.full((1, 1), 0.5, np.float32))
    yield Case(name="whole file", audio=speech[None], is_sound=True)
    pair = np.stack([speech[:rate], speech[rate : 2 * rate], -speech[:rate]])
    yield Case(name="batch of 3", audio=pair, is_sound=True)
    yield Case(name="silence, 1 sample", audio=np.zeros((1, 1), np.float32), silent_from=0)
    yield Case(name="silence", audio=np.zeros((1, 2 * rate + 1), np.float32), silent_from=0)
    yield Case(name="pause after speech", audio=paused[None], is_sound=True, silent_from=ends)
    yield Case(name="constant (DC)", audio=np.full((1, quarter), 0.7, np.float32))
    yield Case(name="full-scale square", audio=square.astype(np.float32)[None])
    yield Case(name="NaN in the input", audio=holes[:1])
    yield Case(name="infinity in the input", audio=holes[1:])
    yield Case(name="only NaN", audio=np.full((1, quarter), np.nan, np.float32), silent_from=0)


def check_latency(candidate: Candidate) -> Check:
    """The level of the output follows that of the input without delay.

    A voice answers artificial bursts with an attack of its own, which moves its level by some milliseconds although
    nothing is late. So the voice's own level shows delays of half a frame and more, and the level that the graph
    imposes with loudness_mix=0, where it has that control, shows what is left.
    """
    source = bursts(candidate.sample_rate, round(LATENCY_TEST_SECONDS * candidate.sample_rate), 6)
    own = level_delay(source, candidate.run(source[None])[0], candidate.sample_rate)
    imposed, allowed = own, LATENCY_SECONDS
    if "loudness_mix" in candidate.controls:
        answer = candidate.run(source[None], {"loudness_mix": 0.0})[0]
        followed = level_delay(source, answer, candidate.sample_rate)
        if followed.correlation >= LEAST_LIKENESS:
            imposed, allowed = followed, ATTACK_SECONDS
    problems = []
    if not imposed.correlation >= LEAST_LIKENESS:  # also for NaN
        problems.append(f"the output's level does not follow the input's (correlation {imposed.correlation:.2f})")
    elif abs(imposed.seconds) > LATENCY_SECONDS:
        problems.append(f"{1000 * imposed.seconds:+.2f} ms; allowed: {1000 * LATENCY_SECONDS:g}")
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
    return Check("latency", not problems, "; ".join(problems) or detail, figures)


def check_conversion(candidate: Candidate) -> Check:
    """The output is not the input again, at any gain or small delay."""
    source = candidate.speech(WHOLE_SECONDS, 7)
    likeness = copy_likeness(source, candidate.run(source[None])[0], candidate.sample_rate)
    detail = f"correlation with the input at most {likeness:.2f} (a copy: from {COPY:g} on)"
    return Check("not the dry signal", likeness < COPY, detail, {"copy_likeness": likeness})


def check_repetition(candidate: Candidate) -> Check:
    """The same input gives the same samples, also after other audio and in a batch."""
    audio, other = candidate.speech(1.0, 8)[None], candidate.speech(0.3, 9)[None]
    first = candidate.run(audio)
    candidate.run(other)
    problems = [] if np.array_equal(first, candidate.run(audio)) else ["a second run gives other samples"]
    broken = np.full_like(audio, np.nan)
    together = candidate.run(np.concatenate([audio, candidate.speech(1.0, 10)[None], broken]))
    difference = relative_db(together[:1], first)
    if not difference <= BATCH_DB:
        problems.append(f"in a batch it differs by {difference:.1f} dB (allowed {BATCH_DB:g})")
    detail = f"equal; in a batch of 3 within {difference:.1f} dB"
    return Check("same input, same output", not problems, "; ".join(problems) or detail, {"batch_db": difference})


def check_long(candidate: Candidate) -> Check:
    """Minutes of audio in one piece: length, level and an end that sounds as if it were converted alone."""
    minutes = candidate.extent.minutes
    name = f"{minutes:g} minutes"
    if not minutes:
        return Check("long recording", True, "left out", is_skipped=True)
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
        problems += copy_faults(audio[None, -tail:], output[:, -tail:], candidate.sample_rate)
    return Check(name, not problems, "; ".join(problems) or detail, figures)


def check_case(candidate: Candidate, case: Case) -> Check:
    """Length, finiteness, level, silence, conversion and, with a reference, equality with PyTorch for one input."""
    output = candidate.run(case.audio)
    problems = faults(output, case.audio, is_sound=case.is_sound)
    if case.is_sound and not problems:
        problems += copy_faults(case.audio, output, candidate.sample_rate)
    detail, figures, is_near = "" if problems else levels(output), {}, True
    if not problems and case.silent_from is not None:
        peak = float(np.abs(output[:, case.silent_from :]).max(initial=0.0))
        if peak > SILENCE_PEAK:
            problems.append(f"peak {peak:.1e} where the input is silent (allowed {SILENCE_PEAK:.0e})")
    if not problems and candidate.reference is not None:
        parity = relative_db(output, candidate.reference(case.audio))
        figures["parity_db"] = parity
        detail += f"; PyTorch {parity:.0f} dB"
        is_near = parity <= candidate.parity_db
        if not is_near:
            own = candidate.own_change_db(case.audio)
            figures["own_change_db"] = own
            allowed = limit_of_parity_db(candidate.parity_db, own)
            words = f"itself {own:.0f} dB when the last bit of the input changes"
            detail += f", {words}"
            if not parity <= allowed:
                problems.append(f"{parity:.1f} dB from PyTorch (allowed {allowed:.3g}; {words})")
    return Check(case.name, not problems, "; ".join(problems) or detail, figures, is_warning=not is_near)
