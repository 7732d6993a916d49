"""Rules of streaming graphs: what comes in passes through the state, and through nothing else."""

import math

import numpy as np

from utils.verification.alignment import level_delay
from utils.verification.candidate import Candidate
from utils.verification.checks import Check, skipped, verdict
from utils.verification.host_rules import MEMORY_GROWTH_BYTES
from utils.verification.measures import LOUDEST_PEAK, SILENCE_PEAK, decibels
from utils.verification.signals import bursts
from utils.voice_file.stream import BlockStream

LONGEST_LATENCY_SECONDS = 0.0325  # the block and what the output is behind it
LATENCY_TOLERANCE_SECONDS = 2e-3  # the level of the newest 20 ms steers that of a frame of 10 ms
LEAST_LIKENESS = 0.9
RECOVERY_SECONDS = 0.5
RECOVERY_DB = -15.0  # of block levels: sound from before colours what the encoder makes for seconds
SHORTEST = 1e-5  # seconds; clocks of processors may be coarse
SLOWER = 2.0  # of a median of block times, over a run
WARM_UP_BLOCKS = 20


def check_signature(candidate: Candidate) -> Check:
    """Audio and state in and out, float32 with fixed shapes, every control; a block and its delay within 32.5 ms."""
    facts = candidate.new_stream().facts
    latency = (facts.block + facts.look_ahead) / candidate.sample_rate
    shortest = 2 * candidate.sample_rate // 100
    detail = (
        f"blocks of {facts.block} samples, output {facts.look_ahead} behind: {1000 * latency:.1f} ms in all; "
        f"state of {facts.state_size} numbers"
    )
    too_late = facts.block == shortest and latency > LONGEST_LATENCY_SECONDS
    problems = [f"{detail} (allowed 32.5)"] * too_late
    problems += [f"no optional scalar input {', '.join(candidate.lacks_controls)}"] * bool(candidate.lacks_controls)
    figures = {"latency_milliseconds": 1000 * latency, "state_size": float(facts.state_size)}
    return verdict("stream, signature", problems, detail, figures)


def check_silence(candidate: Candidate) -> Check:
    """Zeros give silence from the first block on, and after speech."""
    stream, rate = candidate.new_stream(), candidate.sample_rate
    first = stream.process_blocks(np.zeros(stream.facts.block * 10, np.float32))
    stream.process_blocks(candidate.speech(1.0, 3))
    ring = stream.process_blocks(_whole_blocks(np.zeros(rate, np.float32), stream))[rate // 5 :]
    peak = float(np.abs(np.concatenate([first, ring])).max(initial=0.0))  # NaN if a sample is
    return Check("stream, silence", peak <= SILENCE_PEAK, f"peak {peak:.1e} (allowed {SILENCE_PEAK:.0e})")


def check_reset(candidate: Candidate) -> Check:
    """A state of zeros forgets all that came before; a state that is kept does not."""
    stream = candidate.new_stream()
    audio = candidate.speech(0.4, 4)
    fresh = stream.process_blocks(audio)
    going_on = stream.process_blocks(audio)
    stream.reset()
    again = stream.process_blocks(audio)
    problems = [] if np.array_equal(fresh, again) else ["after zeros for the state other samples come"]
    if np.array_equal(fresh, going_on):
        problems.append("the state has no effect")
    return verdict("stream, fresh start", problems, "zeros for the state begin a new stream")


def check_repetition(candidate: Candidate) -> Check:
    """Two streams in turns through one session give what each gives alone, bit for bit."""
    one, other = (candidate.new_stream() for _ in range(2))
    sounds = [candidate.speech(0.4, seed) for seed in (5, 6)]
    alone = [one.process_blocks(sounds[0]), other.process_blocks(sounds[1])]
    one.reset()
    other.reset()
    parts = [sound.reshape(-1, one.facts.block) for sound in sounds]
    turns = [(one.process(first), other.process(second)) for first, second in zip(*parts, strict=True)]
    together = [np.concatenate([turn[index] for turn in turns]) for index in (0, 1)]
    passed = all(np.array_equal(first, second) for first, second in zip(alone, together, strict=True))
    return Check("stream, same input, same output", passed, "bit for bit" if passed else "streams disturb each other")


def check_hostile(candidate: Candidate) -> Check:
    """NaN, infinity, huge numbers and a full square give finite samples, and the stream recovers from them."""
    stream = candidate.new_stream()
    square = np.where(np.arange(3 * stream.facts.block) % 100 < 50, 1.0, -1.0).astype(np.float32)
    hostile = np.concatenate([square * value for value in (math.nan, math.inf, np.float32(1e30), 1.0)])
    pause = np.zeros(_num_samples(stream, RECOVERY_SECONDS), np.float32)
    speech = candidate.speech(0.8, 7)
    disturbed = stream.process_blocks(np.concatenate([hostile, pause, speech]))
    is_finite = bool(np.isfinite(disturbed).all() and np.isfinite(stream.state).all())
    stream.reset()
    quiet = stream.process_blocks(np.concatenate([np.zeros_like(hostile), pause, speech]))
    difference = _level_difference(disturbed[-len(speech) :], quiet[-len(speech) :], stream.facts.block)
    passed = is_finite and difference <= RECOVERY_DB
    detail = (
        f"levels {difference:.0f} dB from an undisturbed stream {RECOVERY_SECONDS:g} s later (allowed {RECOVERY_DB:g})"
    )
    return Check("stream, hostile blocks", passed, detail if is_finite else "samples or state are not finite")


def check_latency(candidate: Candidate) -> Check:
    """The output is behind the input by what the file says, measured on the level that it imposes."""
    stream, rate = candidate.new_stream(), candidate.sample_rate
    source = _whole_blocks(bursts(rate, 2 * rate, 6), stream)
    controls = {"loudness_mix": 0.0} if "loudness_mix" in candidate.controls else {}
    measured = level_delay(source, stream.process_blocks(source, controls), rate)
    stated = stream.facts.look_ahead / rate
    detail = f"stated {1000 * stated:.2f} ms behind the input, measured {1000 * measured.seconds:.2f} ms"
    follows = measured.correlation >= LEAST_LIKENESS
    passed = bool(follows and abs(measured.seconds - stated) <= LATENCY_TOLERANCE_SECONDS)
    detail += "" if follows else f"; the level does not follow the input's (correlation {measured.correlation:.2f})"
    return Check("stream, latency", passed, detail, {"latency_seconds": measured.seconds})


def check_endurance(candidate: Candidate) -> Check:
    """Over many blocks neither memory nor the time of a block grows.

    The time grows where the clock and the time of the processor do: other work on the machine moves the clock alone.
    """
    count = candidate.extent.num_blocks
    if not count:
        return skipped("stream, endurance", "left out")
    stream = candidate.new_stream()
    parts = candidate.speech(3.0, 5).reshape(-1, stream.facts.block)
    stream.process_blocks(np.resize(parts, (WARM_UP_BLOCKS, stream.facts.block)).reshape(-1))
    before, peak = candidate.session.resident_bytes(), 0.0
    seconds: list[float] = []
    busy: list[float] = []
    while len(seconds) < count:
        made = stream.process_timed(parts[: count - len(seconds)].reshape(-1))
        seconds += made.seconds
        busy += made.busy
        peak = float(np.maximum(peak, np.abs(made.samples).max()))  # NaN if a sample is
    growth = float(candidate.session.resident_bytes() - before)
    median, slow, shortest = (1000 * float(value) for value in (*np.percentile(seconds, (50, 99)), min(seconds)))
    third = max(1, count // 3)
    drift = min(min(times[-third:]) / max(min(times[:third]), SHORTEST) for times in (seconds, busy))
    problems = [f"{growth / 1e6:+.1f} MB (allowed {MEMORY_GROWTH_BYTES / 1e6:g})"] * (growth > MEMORY_GROWTH_BYTES)
    problems += [f"blocks take {drift:.1f} times as long in the end"] * (drift > SLOWER)
    problems += [f"peak {peak:.1f} (allowed {LOUDEST_PEAK:g})"] * (not peak <= LOUDEST_PEAK)
    factor = median / 1000 / (stream.facts.block / candidate.sample_rate)
    detail = (
        f"{count} blocks: {growth / 1e6:+.1f} MB, median {median:.2f} ms ({factor:.3f} x real time), "
        f"p99 {slow:.2f} ms, fastest {shortest:.2f} ms"
    )
    figures = {"stream_median_milliseconds": median, "stream_p99_milliseconds": slow, "stream_real_time_factor": factor}
    return verdict("stream, endurance", problems, detail, figures)


def _level_difference(got: np.ndarray, expected: np.ndarray, block: int) -> float:
    """Return by how many dB below `expected` [T] the difference of the levels of its blocks is."""
    levels_of = [
        np.sqrt(np.mean(np.square(part.reshape(-1, block), dtype=np.float64), axis=1)) for part in (got, expected)
    ]
    size = float(np.sqrt(np.mean(np.square(levels_of[1]))))
    return decibels(float(np.sqrt(np.mean(np.square(levels_of[0] - levels_of[1])))) / max(size, 1e-6))


def _whole_blocks(audio: np.ndarray, stream: BlockStream) -> np.ndarray:
    """Return [T] without what is left behind the last whole block."""
    return audio[: len(audio) // stream.facts.block * stream.facts.block]


def _num_samples(stream: BlockStream, seconds: float) -> int:
    """Return the samples of the whole blocks that hold this time."""
    return math.ceil(seconds * stream.sample_rate / stream.facts.block) * stream.facts.block
