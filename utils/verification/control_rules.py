"""Rules about the optional inputs: what any value of them may do, and what each must."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

import numpy as np

from utils.verification.candidate import Candidate
from utils.verification.checks import Check, skipped, verdict
from utils.verification.measures import faults, relative_difference
from utils.verification.reference import Reference
from utils.verification.voices import Convert
from utils.voice_file.controls import SPEAKER_CONTROLS, Control
from utils.voice_file.runtime import RUNTIME_ERRORS

HOSTILE_SECONDS = 0.3
LOUDEST_PEAK = 16.0  # three octaves away a voice may be louder than where it speaks by itself
BEYOND = 1e3  # finite, and far from what any control may be
WHOLE_NUMBERS: tuple[float, ...] = (-1, 2**31 - 1, -(2**63), 2**63 - 1)
DEFAULTS_SECONDS, STREAM_DEFAULTS_SECONDS = 1.0, 0.4
EFFECT_SECONDS, STREAM_EFFECT_SECONDS = 2.0, 0.8
LEAST_EFFECT = 1e-3  # relative change that counts as an effect
# a file alone does not tell whether its voice has a codebook, or is told the pitch
OFTEN_IDLE = frozenset({"pitch_shift", "index_rate", "protect"})
LEARNT = frozenset({"index_rate", "protect"})  # act on the content, which a voice has to learn to listen to
# values of other controls at which each acts
WITH: dict[str, dict[str, float]] = {"protect": {"index_rate": 1.0}, "pitch_shift": {"automatic_f0": 0}}

Controls = dict[str, float]
Answer = Callable[[np.ndarray, Controls], list[str]]


def check_hostile_controls(candidate: Candidate) -> Check:
    """Whatever number a host gives for a control, the sound is finite, as long and no louder than it may be.

    What a bad value leaves in the state of a stream does no harm to the blocks that follow.
    """
    name = "hostile controls"
    if not candidate.known_controls:
        return skipped(name, "it has no optional inputs of this workbench")
    answer = _answer_of_a_stream(candidate) if candidate.is_stream else _answer_in_one_piece(candidate)
    audio = candidate.speech(HOSTILE_SECONDS, 0)
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
    return verdict(name, problems[:4], detail)


def check_required(candidate: Candidate) -> Check:
    """Where a file states that its controls must be given, none has a default in the graph, and NaN is the file's."""
    name = "control inputs"
    if not candidate.asks_for_controls:
        return skipped(name, "its controls are optional")
    constant = [value.name for value in candidate.session.get_overridable_initializers()]
    problems = [f"{', '.join(constant)} with a default in the graph"] * bool(constant)
    problems += [f"no scalar input {', '.join(candidate.lacks_controls)}"] * bool(candidate.lacks_controls)
    audio = candidate.speech(STREAM_DEFAULTS_SECONDS if candidate.is_stream else DEFAULTS_SECONDS, 0)
    plain = candidate.convert(audio)
    shares = [control.name for control in candidate.known_controls if not control.is_integer]
    problems += [
        f"NaN for {control} is not its default"
        for control in shares
        if not np.array_equal(plain, candidate.convert(audio, {control: math.nan}))
    ]
    return verdict(name, problems, f"{', '.join(sorted(candidate.controls))}: required; NaN is the file's default")


def check_defaults(candidate: Candidate, reference: Reference | None = None) -> Check:
    """Leaving the controls out equals giving the defaults that the file states."""
    stated = asdict(reference.defaults) if reference is not None else {}
    if reference is None:
        if candidate.metadata is None:
            return skipped("defaults", "it states none")
        stated = candidate.metadata.control_defaults
    audio = candidate.speech(STREAM_DEFAULTS_SECONDS if candidate.is_stream else DEFAULTS_SECONDS, 0)
    given = {name: value for name, value in stated.items() if name in candidate.controls}
    passed = np.array_equal(candidate.convert(audio), candidate.convert(audio, given))
    return Check("defaults", passed, f"{'equal to' if passed else 'differ from'} the values that the file states")


def check_effects(candidate: Candidate, reference: Reference | None = None) -> Check:
    """Each control changes the output when its value changes, unless the voice gives it nothing to act on.

    What a voice has not learnt, its graph cannot do: where the PyTorch voice does not listen to its content yet, the
    controls that act on it are a warning.
    """
    name = "controls take effect"
    if reference is None and candidate.metadata is None:
        return skipped(name, "it has no optional inputs of this workbench")
    left_out = _idle_controls(candidate, reference)
    audio = candidate.speech(STREAM_EFFECT_SECONDS if candidate.is_stream else EFFECT_SECONDS, 0)
    tried = [control for control in candidate.known_controls if control.name not in left_out]
    effects = {control.name: _effect(candidate.convert, audio, control) for control in tried}
    broken = [name for name, effect in effects.items() if not math.isfinite(effect)]
    idle = [name for name, effect in effects.items() if not effect > LEAST_EFFECT]
    forgiven = [name for name in idle if reference is None and name in OFTEN_IDLE]
    unlearnt: list[str] = []
    if reference is not None and LEARNT & {*idle}:
        answer = reference.voice(candidate.metadata).answer
        unlearnt = [
            control.name
            for control in tried
            if control.name in LEARNT & {*idle} and _effect(answer, audio, control) <= LEAST_EFFECT
        ]
    problems = [f"not finite at one of its values: {', '.join(broken)}"] * bool(broken)
    problems += [f"no effect: {name}" for name in idle if name not in {*forgiven, *unlearnt}]
    problems += [f"no such input: {name}" for name in candidate.lacks_controls]
    detail = ", ".join(f"{name} {effect:.2g}" for name, effect in effects.items() if name not in forgiven)
    detail += f"; nothing to act on: {', '.join(sorted(left_out | set(forgiven)))}" * bool(left_out or forgiven)
    detail += f"; not judged, the PyTorch voice does not listen to: {', '.join(unlearnt)}" * bool(unlearnt)
    check = verdict(name, problems, detail, {f"effect_{name}": effect for name, effect in effects.items()})
    return replace(check, is_warning=True) if unlearnt and check.passed else check


def _effect(answer: Convert, audio: np.ndarray, control: Control) -> float:
    """Return the relative change of what is answered between the two values at which a control is tried."""
    others = WITH.get(control.name, {})
    low, high = (answer(audio, {**others, control.name: value}) for value in control.trial)
    return relative_difference(high, low)


def _idle_controls(candidate: Candidate, reference: Reference | None) -> set[str]:
    """Return the names of the controls that the voice is known to give nothing to act on."""
    if reference is not None:
        return set(reference.idle_controls) | (SPEAKER_CONTROLS if reference.num_speakers < 2 else set())
    has_one_speaker = candidate.metadata is not None and len(candidate.metadata.speakers) < 2
    return set(SPEAKER_CONTROLS) if has_one_speaker else set()


def _answer_in_one_piece(candidate: Candidate) -> Answer:
    def answer(audio: np.ndarray, controls: Controls) -> list[str]:
        return faults(candidate.run(audio[None], controls), audio[None], is_sound=False, loudest=LOUDEST_PEAK)

    return answer


def _answer_of_a_stream(candidate: Candidate) -> Answer:
    """Return a trial of which the first half has the controls and the second must be sound without them."""
    stream = candidate.new_stream()

    def answer(audio: np.ndarray, controls: Controls) -> list[str]:
        stream.reset()
        half = len(audio) // 2 // stream.facts.block * stream.facts.block
        made = [stream.process_blocks(audio[:half], controls)]
        if not np.isfinite(stream.state).all():
            return ["the state is not finite"]
        made.append(stream.process_blocks(audio[half:]))
        return faults(np.concatenate(made)[None], audio[None], is_sound=False, loudest=LOUDEST_PEAK)

    return answer


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
