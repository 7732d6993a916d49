"""Rules about the optional inputs: what any value of them may do, and what each must."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from utils.verification.candidate import Candidate, faults, relative_db
from utils.verification.checks import Check
from utils.verification.stream_feed import fresh_stream, in_blocks, speech_blocks
from utils.voice_file.controls import ControlDefaults
from utils.voice_file.runtime import RUNTIME_ERRORS
from utils.voice_file.stream import BlockStream

HOSTILE_SECONDS = 0.3
LOUDEST_PEAK = 16.0  # three octaves away a voice may be louder than where it speaks by itself
BEYOND = 1e3  # finite, and far from what any control may be
WHOLE_NUMBERS: tuple[float, ...] = (-1, 2**31 - 1, -(2**63), 2**63 - 1)
DEFAULTS_SECONDS = 0.4
EFFECT_SECONDS = 0.8
EFFECT_DB = -60.0
# a file alone does not tell whether its voice has a codebook, or hears the pitch
OFTEN_IDLE = frozenset({"pitch_shift", "index_rate", "protect"})

Controls = dict[str, float]
Answer = Callable[[np.ndarray, Controls], list[str]]


def other_values(num_speakers: int) -> ControlDefaults:
    """Return a value for every control that is not its usual default."""
    return ControlDefaults(pitch_shift=-3.5, speaker_id=num_speakers - 1, index_rate=1.0, protect=0.1, loudness_mix=0.4)


def check_hostile_controls(candidate: Candidate) -> Check:
    """Whatever number a host gives for a control, the sound is finite, as long and no louder than it may be."""

    def answer(audio: np.ndarray, controls: Controls) -> list[str]:
        return faults(candidate.run(audio[None], controls), audio[None], is_sound=False, loudest=LOUDEST_PEAK)

    return _hostile(candidate, "hostile controls", candidate.speech(HOSTILE_SECONDS, 0), answer)


def check_hostile_stream_controls(candidate: Candidate) -> Check:
    """The same for a stream, and what a bad value leaves in the state does no harm to the blocks that follow."""
    stream = fresh_stream(candidate)

    def answer(audio: np.ndarray, controls: Controls) -> list[str]:
        stream.reset()
        half = len(audio) // 2 // stream.facts.block * stream.facts.block
        made = [in_blocks(stream, audio[:half], controls)]
        if not np.isfinite(stream.state).all():
            return ["the state is not finite"]
        made.append(in_blocks(stream, audio[half:]))
        return faults(np.concatenate(made)[None], audio[None], is_sound=False, loudest=LOUDEST_PEAK)

    audio = speech_blocks(candidate, stream, HOSTILE_SECONDS, 0)
    return _hostile(candidate, "stream, hostile controls", audio, answer)


def check_stream_defaults(candidate: Candidate) -> Check:
    """Leaving the controls out equals giving the defaults that the file states."""
    stream = fresh_stream(candidate)
    audio = speech_blocks(candidate, stream, DEFAULTS_SECONDS, 0)
    stated = {name: value for name, value in stream.metadata.defaults.items() if name in candidate.controls}
    silent = in_blocks(stream, audio)
    stream.reset()
    passed = np.array_equal(silent, in_blocks(stream, audio, stated))
    return Check(
        "stream, defaults", passed, f"{'equal to' if passed else 'differ from'} the values that the file states"
    )


def check_stream_effects(candidate: Candidate) -> Check:
    """Each control changes the output of a stream, unless the voice gives it nothing to act on."""
    stream, name = fresh_stream(candidate), "stream, controls take effect"
    audio = speech_blocks(candidate, stream, EFFECT_SECONDS, 0)
    left_out = set(candidate.idle_controls or ())
    left_out |= {"speaker_id"} if len(stream.metadata.speakers) < 2 else set()
    effects: Controls = {}
    for control in candidate.known_controls:
        if control.name not in left_out:
            others = {"index_rate": 1.0} if control.name == "protect" else {}
            low, high = (_converted(stream, audio, {**others, control.name: value}) for value in control.trial)
            effects[control.name] = relative_db(high, low)
    broken = [name for name, effect in effects.items() if not math.isfinite(effect)]
    idle = [name for name, effect in effects.items() if not effect > EFFECT_DB]
    forgiven = [name for name in idle if candidate.idle_controls is None and name in OFTEN_IDLE]
    problems = [f"not finite at one of its values: {', '.join(broken)}"] * bool(broken)
    problems += [f"no effect: {name}" for name in idle if name not in forgiven]
    problems += [f"no such input: {name}" for name in candidate.lacks_controls]
    detail = ", ".join(f"{name} {effect:.0f} dB" for name, effect in effects.items() if name not in forgiven)
    detail += f"; nothing to act on: {', '.join(sorted(left_out | set(forgiven)))}" * bool(left_out or forgiven)
    return Check(name, not problems, "; ".join(problems) or detail)


def _hostile(candidate: Candidate, name: str, audio: np.ndarray, answer: Answer) -> Check:
    if not candidate.known_controls:
        return Check(name, True, "it has no optional inputs of this workbench", is_skipped=True)
    trials, problems = list(_hostile_values(candidate)), []
    for controls in trials:
        given = ", ".join(
            f"{name}={value if isinstance(value, int) else format(value, 'g')}" for name, value in controls.items()
        )
        try:
            found = answer(audio, controls)
        except RUNTIME_ERRORS as error:
            found = [f"the run fails: {str(error).splitlines()[0][:160]}"]
        problems += [f"{given}: {fault}" for fault in found]
    detail = f"{len(trials)} values of {len(candidate.known_controls)} controls, NaN and infinity among them"
    return Check(name, not problems, "; ".join(problems[:4]) or detail)


def _hostile_values(candidate: Candidate) -> Iterator[Controls]:
    """Yield the ends of each range, values far beyond it, and what is no number."""
    wild = (math.nan, math.inf, -math.inf, BEYOND, -BEYOND)
    for control in candidate.known_controls:
        if control.is_integer:
            yield from ({control.name: value} for value in WHOLE_NUMBERS)
            continue
        # the pitch reaches an exponent and sums over time; the others are shares
        values = wild if control.name == "pitch_shift" else (math.nan,)
        yield from ({control.name: value} for value in (control.low, control.high, *values))
    names = [control.name for control in candidate.known_controls if not control.is_integer]
    yield from (dict.fromkeys(names, value) for value in wild)


def _converted(stream: BlockStream, audio: np.ndarray, controls: Mapping[str, float]) -> np.ndarray:
    stream.reset()
    return in_blocks(stream, audio, controls)
