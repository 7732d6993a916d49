"""Rules under which a live host uses a graph: block after block, with nothing kept in between."""

import math
import time
from collections.abc import Sequence

import numpy as np

from utils.verification.alignment import copy_faults, seam_scores, spectral_difference_db
from utils.verification.candidate import Candidate
from utils.verification.checks import Check, skipped, verdict
from utils.verification.live_host import BLOCK_SECONDS
from utils.verification.measures import faults, levels
from utils.verification.signals import speech_like

SEAM_STEP_DB = 6.0  # unrelated sounds that meet differ by 3
SEAM_JUMP_DB = 6.0  # against the steps of one piece; voices that keep no state have 10 to 19
SEAM_SECONDS = 4.0
MEMORY_GROWTH_BYTES = 8e6
WARM_UP_BLOCKS = 50
COST_SECONDS = (1.0, 5.0)
MOST_FACTOR = 5.0
MOST_MEMORY, MOST_MEMORY_OF_LARGE = 100e6, 300e6  # bytes for a second; light voices 3e6, slow ones 5e8
ODD_SIZES = (1, 2, 3, 17, 63, 479, 481, 4409, 4801, 7919)


def check_blocks(candidate: Candidate, *, block: int) -> Check:
    """Stereo in blocks of one size, the channels in turn, comes out converted, whole and without cross-talk."""
    name = f"voclo, blocks of {block}"
    num_blocks = max(3, math.ceil(1.0 * candidate.sample_rate / block))
    stereo = np.stack([speech_like(candidate.sample_rate, num_blocks * block, seed) for seed in (0, 1)])
    played = np.zeros_like(stereo)
    started = time.perf_counter()
    for start in range(0, num_blocks * block, block):
        for channel in (0, 1):
            answer = candidate.host.process(stereo[channel, start : start + block])
            if answer.problem is not None:
                return Check(name, False, f"block {start // block}: {answer.problem}")
            played[channel, start : start + block] = answer.samples
    seconds = (time.perf_counter() - started) / (2 * num_blocks)
    alone = np.concatenate([candidate.host.process(part).samples for part in np.split(stereo[1], num_blocks)])
    problems = faults(played, stereo, is_sound=True)
    if not np.array_equal(alone, played[1]):
        problems.append("a channel changes when another is converted between its blocks")
    problems += [] if problems else copy_faults(stereo, played, candidate.sample_rate)
    detail = f"2 x {num_blocks} blocks, {levels(played)}, {1000 * seconds:.1f} ms a block"
    return verdict(name, problems, detail, {f"block_{block}_milliseconds": 1000 * seconds})


def check_odd_sizes(candidate: Candidate) -> Check:
    """Blocks of any size, one after the other in one session, come out converted and as long as they were."""
    rng = np.random.default_rng(0)
    hop = candidate.sample_rate // 100
    sizes = [*ODD_SIZES, hop - 1, hop, hop + 1, *(int(size) for size in rng.integers(1, 10000, 10))]
    source = np.resize(candidate.speech(2.0, 2), sum(sizes))
    played, problems = _play(candidate, np.split(source, np.cumsum(sizes)[:-1]))
    if not problems:
        # short ones apart, since a graph may pass these alone; a single block is too short to tell a copy
        is_short = np.repeat([size < BLOCK_SECONDS * candidate.sample_rate for size in sizes], sizes)
        for chosen in (is_short, ~is_short):
            pair = (source[None, chosen], played[None, chosen])
            problems += copy_faults(*pair, candidate.sample_rate) if chosen.any() else []
    detail = f"{len(sizes)} sizes from 1 to {max(sizes)} samples"
    return verdict("voclo, odd sizes", problems[:4], detail)


def check_seams(candidate: Candidate) -> Check:
    """Blocks of 100 ms, converted without knowing of each other, join without loud clicks.

    A voice whose architecture needs context (RVC) is warned about: no export of it could do better. Untrained ones miss
    the limit by 5 to 15 dB; a hundred updates bring the steps of a small one to 12 dB below the level. Steps that are
    larger than those of a conversion in one piece are told, too: every voice has them that keeps no state.
    """
    block = round(BLOCK_SECONDS * candidate.sample_rate)
    count = round(SEAM_SECONDS / BLOCK_SECONDS)
    source = speech_like(candidate.sample_rate, count * block, 4)
    pieced, problems = _play(candidate, np.split(source, count))
    problems = problems or faults(pieced[None], source[None], is_sound=True)
    problems = problems or copy_faults(source[None], pieced[None], candidate.sample_rate)
    whole = source if problems else candidate.run(source[None])[0]
    problems = problems or faults(whole[None], source[None], is_sound=True)
    if problems:
        return Check("voclo, seams", False, "; ".join(problems[:4]))
    seams = seam_scores(whole, pieced, block)
    spectral = spectral_difference_db(whole, pieced, candidate.sample_rate)
    detail = (
        f"steps at seams {seams.step_db:+.1f} dB against the level (allowed {SEAM_STEP_DB:g}), "
        f"{seams.jump_db:+.1f} dB against the steps of one piece; spectrum {spectral:.1f} dB from it"
    )
    figures = {"seam_jump_db": seams.jump_db, "seam_step_db": seams.step_db, "seam_spectral_db": spectral}
    is_smooth = seams.step_db <= SEAM_STEP_DB
    if not is_smooth and candidate.needs_context:
        detail += (
            "; this architecture wants sound around each block and learns its edges: "
            "expect clicks in hosts that give none, fewer with more training"
        )
    elif is_smooth and seams.jump_db > SEAM_JUMP_DB:
        detail += (
            f"; from {SEAM_JUMP_DB:g} dB against one piece on seams can be heard, "
            "as with every voice that keeps no state (docs/tutorials/live.md)"
        )
    is_warning = not is_smooth or seams.jump_db > SEAM_JUMP_DB
    return Check("voclo, seams", is_smooth or candidate.needs_context, detail, figures, is_warning=is_warning)


def check_memory(candidate: Candidate) -> Check:
    """Memory does not grow over many blocks of 100 ms."""
    count = candidate.extent.num_blocks
    name = f"voclo, memory over {count} blocks"
    if not count:
        return skipped("voclo, memory", "left out")
    block = round(BLOCK_SECONDS * candidate.sample_rate)
    source = candidate.speech(2.0, 5)
    blocks = [source[start : start + block] for start in range(0, len(source) - block, block)]
    for index in range(WARM_UP_BLOCKS):
        candidate.host.process(blocks[index % len(blocks)])
    before = candidate.session.resident_bytes()
    seconds = []
    for index in range(count):
        started = time.perf_counter()
        problem = candidate.host.process(blocks[index % len(blocks)]).problem
        seconds.append(time.perf_counter() - started)
        if problem is not None:
            return Check(name, False, f"block {index}: {problem}")
    growth = float(candidate.session.resident_bytes() - before)
    median, slow = (1000 * float(value) for value in np.percentile(seconds, (50, 99)))
    detail = (
        f"{growth / 1e6:+.1f} MB (allowed {MEMORY_GROWTH_BYTES / 1e6:g}), median {median:.1f} ms, p99 {slow:.1f} ms"
    )
    figures = {"memory_growth_bytes": growth, "block_median_milliseconds": median, "block_p99_milliseconds": slow}
    return Check(name, growth <= MEMORY_GROWTH_BYTES, detail, figures)


def check_cost(candidate: Candidate) -> Check:
    """A second of audio takes neither more time of one processor nor more memory than a usual machine has."""
    if not candidate.extent.listens:
        return skipped("cost", "left out")
    short, long = (candidate.speech(seconds, 5)[None] for seconds in COST_SECONDS)
    candidate.run(short[:, :1])  # one that never ends is not begun again
    fresh = candidate.again  # what earlier runs have reserved is not counted
    fresh.run(short)
    memory, seconds = fresh.session.resident_bytes(), fresh.session.processor_seconds()
    fresh.run(long)
    per_second = (fresh.session.resident_bytes() - memory) / (COST_SECONDS[1] - COST_SECONDS[0])
    factor = (fresh.session.processor_seconds() - seconds) / COST_SECONDS[1]
    problems = [f"{factor:.1f} s of a processor for a second (allowed {MOST_FACTOR:g})"] * (factor > MOST_FACTOR)
    allowed = MOST_MEMORY_OF_LARGE if candidate.needs_context else MOST_MEMORY
    if per_second > allowed:
        problems.append(f"{per_second / 1e6:.0f} MB for a second (allowed {allowed / 1e6:g})")
    detail = f"{factor:.3f} s of a processor and {per_second / 1e6:.1f} MB for a second"
    if factor > 1:
        detail += "; too slow for live hosts on one thread"
    figures = {"cost_factor": factor, "cost_bytes_per_second": per_second}
    return verdict("cost", problems, detail, figures, is_warning=factor > 1)


def _play(candidate: Candidate, blocks: Sequence[np.ndarray]) -> tuple[np.ndarray, list[str]]:
    """Return what the host plays for the blocks, one after the other, and what is wrong with some of them."""
    answers = [candidate.host.process(block) for block in blocks]
    problems = []
    for number, answer in enumerate(answers):
        if answer.problem or not np.isfinite(answer.samples).all():
            problems.append(f"block {number} of {len(answer.samples)} samples: {answer.problem or 'not finite'}")
    return np.concatenate([answer.samples for answer in answers]), problems
