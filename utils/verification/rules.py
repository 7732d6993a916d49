"""Every rule that an exported graph must keep, and the one function that applies them."""

import logging
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from utils.errors import ConfigError
from utils.verification import (
    amount_rules,
    audio_rules,
    card_rules,
    control_rules,
    file_rules,
    host_rules,
    parity_rules,
    rvc_rules,
    sound_rules,
    speech_rules,
    stream_rules,
)
from utils.verification.candidate import Candidate
from utils.verification.cases import CASES
from utils.verification.checks import Check, skipped
from utils.verification.live_host import BLOCK_SIZES
from utils.verification.reference import GeneratorReference, Reference
from utils.verification.voices import Voice
from utils.voice_file.kinds import AUDIO_TO_AUDIO, STREAM
from utils.voice_file.metadata import NOT_JUDGED_KEY
from utils.voice_file.rvc_formats import RVC_FORMATS

NO_REFERENCE = "a file alone has no PyTorch side"
# a rule -> the one that it was part of for files from before, or that says whether there is anything to judge: what a
# file states of that one excuses both
PART_OF = {"pitch of high and low speakers": "pitch", "clear vowels": "content"}
WHOLE, STREAMS, VOICES = (frozenset(kinds) for kinds in ((AUDIO_TO_AUDIO,), (STREAM,), (AUDIO_TO_AUDIO, STREAM)))
GENERATORS = frozenset(RVC_FORMATS)
OF_CLIENTS = frozenset(name for name, rvc_format in RVC_FORMATS.items() if rvc_format.has_client_metadata)
EVERY = VOICES | GENERATORS
log = logging.getLogger(__name__)

OfFile = Callable[[Candidate], Check]
OfVoice = Callable[[Voice], Check]
OfBoth = Callable[[Candidate, Any], Check]  # with a Reference, a GeneratorReference or None


@dataclass(frozen=True)
class Rule:
    """A rule for some kinds of graphs.

    Attributes:
        name: of the row; the row of some rules names a figure instead, such as the minutes of the long recording.
        kinds: the graphs that it is for, see Candidate.kind.
        check: tries it on a file and a reference.
        needs_reference: whether it is skipped for a file alone.
        meaning: one line: what must hold.
    """

    name: str
    kinds: frozenset[str]
    check: OfBoth
    needs_reference: bool
    meaning: str

    def outcome(self, candidate: Candidate, reference: Reference | GeneratorReference | None) -> Check:
        """Try it; whatever a strange file makes it raise is a failure of the rule."""
        if self.needs_reference and reference is None:
            return skipped(self.name, NO_REFERENCE)
        try:
            check = self.check(candidate, reference)
        except Exception as error:
            log.debug("rule %s crashed", self.name, exc_info=True)
            lines = str(error).strip().splitlines()
            return Check(self.name, False, f"{type(error).__name__}: {lines[0][:240] if lines else 'no reason given'}")
        return replace(check, figures={key: value for key, value in check.figures.items() if math.isfinite(value)})


def _alone(name: str, kinds: frozenset[str], check: OfFile) -> Rule:
    """Return a rule that looks at the file alone."""
    return Rule(name, kinds, lambda candidate, reference: check(candidate), False, _first_line(check))


def _beside(name: str, kinds: frozenset[str], check: OfBoth) -> Rule:
    """Return a rule that is stricter where there is a reference."""
    return Rule(name, kinds, check, False, _first_line(check))


def _against(name: str, kinds: frozenset[str], check: OfBoth) -> Rule:
    """Return a rule that compares with the reference."""
    return Rule(name, kinds, check, True, _first_line(check))


def _heard(name: str, check: OfVoice) -> Rule:
    """Return a rule that listens to a voice, whatever it is; see judged."""
    return Rule(name, VOICES, partial(judged, rule=check), False, _first_line(check))


def judged(
    candidate: Candidate,
    reference: Reference | None,
    *,
    rule: OfVoice,
    excusable: Callable[[Check], bool] = lambda _: True,
) -> Check:
    """Listen to a voice; what the PyTorch voice does not do either, or the file states, is not held against the graph.

    A voice that has learnt nothing yet says no words, and no export can make it say some. So such a row is a warning,
    and the exporter writes into the metadata which rules were not judged (NOT_JUDGED_KEY), for a file alone.

    Args:
        excusable: whether what a check found may be excused so; by default, whatever it found.
    """
    check = rule(candidate.voice)
    if check.passed or not excusable(check):
        return check
    if reference is not None:
        is_same = not rule(reference.voice(candidate.metadata)).passed
        excuse = "the PyTorch voice does the same" if is_same else ""
    else:
        stated = candidate.metadata.extra.get(NOT_JUDGED_KEY) if candidate.metadata is not None else None
        is_stated = isinstance(stated, list) and bool({check.name, PART_OF.get(check.name)} & {*map(str, stated)})
        excuse = "the file states that its voice does the same" if is_stated else ""
    if not excuse:
        return check
    return replace(
        check, passed=True, detail=f"not judged, {excuse}: {check.detail}", is_warning=True, is_unjudged=True
    )


def _latency(candidate: Candidate, reference: Reference | None) -> Check:
    excusable = audio_rules.has_no_level_to_follow
    return judged(candidate, reference, rule=audio_rules.check_latency, excusable=excusable)


def _first_line(check: Callable[..., Check]) -> str:
    function = check.func if isinstance(check, partial) else check
    return (function.__doc__ or "").partition("\n")[0]


FILE = _beside("file", EVERY, file_rules.check_file)
LOADING = _alone("loading", EVERY, file_rules.check_loading)
CONTROL_INPUTS = _alone("control inputs", VOICES, control_rules.check_required)
AUTOMATIC_PITCH = _heard("automatic pitch", amount_rules.check_automatic)
RULES: tuple[Rule, ...] = (
    FILE,
    LOADING,
    _against("onnx.checker", WHOLE, file_rules.check_consistency),
    _against("simplifier keeps controls", WHOLE, file_rules.check_simplifier),
    _alone("name", VOICES, file_rules.check_name),
    _beside("metadata", VOICES, file_rules.check_metadata),
    _alone("files beside it", VOICES, card_rules.check_files_beside),
    _beside("required input", WHOLE, file_rules.check_inputs),
    CONTROL_INPUTS,
    _beside("first output", WHOLE, file_rules.check_output),
    _alone("stream, signature", STREAMS, stream_rules.check_signature),
    _against("parity with PyTorch", WHOLE, parity_rules.check_parity),
    _against("stream, blocks against one piece", STREAMS, parity_rules.check_stream_parity),
    _alone("length rule", WHOLE, audio_rules.check_lengths),
    *(_alone(f"voclo, blocks of {size}", WHOLE, partial(host_rules.check_blocks, block=size)) for size in BLOCK_SIZES),
    _alone("voclo, odd sizes", WHOLE, host_rules.check_odd_sizes),
    _alone("voclo, seams", WHOLE, host_rules.check_seams),
    _alone("voclo, memory", WHOLE, host_rules.check_memory),
    *(_beside(case.name, WHOLE, partial(audio_rules.check_case, case=case)) for case in CASES),
    _alone("finite output", WHOLE, audio_rules.check_hostile),
    _alone("constants of any value", WHOLE, audio_rules.check_constants),
    _alone("stream, silence", STREAMS, stream_rules.check_silence),
    _alone("stream, fresh start", STREAMS, stream_rules.check_reset),
    _alone("stream, same input, same output", STREAMS, stream_rules.check_repetition),
    _alone("stream, hostile blocks", STREAMS, stream_rules.check_hostile),
    _alone("hostile controls", VOICES, control_rules.check_hostile_controls),
    _beside("defaults", VOICES, control_rules.check_defaults),
    _beside("controls take effect", VOICES, control_rules.check_effects),
    _alone("same input, same output", WHOLE, audio_rules.check_repetition),
    _alone("cost", WHOLE, host_rules.check_cost),
    _alone("longer than a minute", WHOLE, audio_rules.check_minute),
    _alone("long recording", WHOLE, audio_rules.check_long),
    _beside("batch rows independent", WHOLE, audio_rules.check_batch),
    Rule("latency", WHOLE, _latency, False, _first_line(audio_rules.check_latency)),
    _alone("stream, latency", STREAMS, stream_rules.check_latency),
    _alone("stream, endurance", STREAMS, stream_rules.check_endurance),
    _alone("not the dry signal", VOICES, audio_rules.check_conversion),
    _heard("content", speech_rules.check_content),
    _heard("pitch", speech_rules.check_pitch),
    _heard("pitch of high and low speakers", speech_rules.check_range),
    _heard("speech of any level", speech_rules.check_levels),
    _heard("level imposed", sound_rules.check_imposed),
    _heard("no dry share", sound_rules.check_dry),
    _heard("bandwidth", sound_rules.check_bandwidth),
    _heard("waveform", sound_rules.check_waveform),
    _heard("clear vowels", sound_rules.check_vowels),
    _heard("pauses", sound_rules.check_pauses),
    _heard("no echo", sound_rules.check_echo),
    _heard("pitch_shift by its amount", amount_rules.check_shift),
    AUTOMATIC_PITCH,
    _heard("loudness_mix by its amount", amount_rules.check_mix),
    _heard("index_rate and protect by their amounts", amount_rules.check_retrieval),
    _heard("speaker_id by its amount", amount_rules.check_speakers),
    _alone("inputs", GENERATORS, rvc_rules.check_inputs),
    _alone("metadata", OF_CLIENTS, rvc_rules.check_client_metadata),
    _beside("conversion", GENERATORS, rvc_rules.check_conversion),
    _alone("same input, same output", GENERATORS, rvc_rules.check_repetition),
    _alone("inputs take effect", GENERATORS, rvc_rules.check_effects),
    _beside("window", frozenset({"deiteris"}), rvc_rules.check_window),
    _beside("own metadata", GENERATORS, rvc_rules.check_own_metadata),
)
LISTENING = {rule.name for rule in RULES if isinstance(rule.check, partial) and rule.check.func is judged}


def verify(candidate: Candidate, reference: Reference | GeneratorReference | None = None) -> list[Check]:
    """Apply every rule of the programs that load such a file.

    A rule that crashes counts as failed, and the others still run. A file that cannot be loaded is tried no further.

    Args:
        candidate: the file.
        reference: the PyTorch side of the graph; without it the rules that compare are skipped.
    Raises:
        ConfigError: if the file is missing or not named as an ONNX file.
        FormatError: if it is a graph, but no voice.
    """
    return list(outcomes(candidate, reference))


def outcomes(
    candidate: Candidate, reference: Reference | GeneratorReference | None = None, *, first: Collection[str] = ()
) -> Iterator[Check]:
    """Yield what `verify` returns, each rule when it has been tried, some of them by name before the others."""
    if not candidate.path.is_file():
        raise ConfigError(f"{candidate.path} does not exist; give an exported .onnx file")
    if candidate.path.suffix.lower() != ".onnx":
        raise ConfigError(f"{candidate.path} is no .onnx file; give a graph that export_onnx.py wrote")
    loading = LOADING.outcome(candidate, reference)  # before the file's contents: what they must be depends on its kind
    yield FILE.outcome(candidate, reference)
    yield loading
    if not loading.passed:
        return
    kind, left_out = candidate.kind, {FILE.name, LOADING.name} | (set() if candidate.extent.listens else LISTENING)
    left_out |= set() if candidate.asks_for_controls else {CONTROL_INPUTS.name}
    is_automatic = candidate.metadata is not None and candidate.metadata.pitch_step is not None
    left_out |= set() if is_automatic else {AUTOMATIC_PITCH.name}
    others = [rule for rule in RULES if kind in rule.kinds and rule.name not in left_out]
    others.sort(key=lambda rule: rule.name not in first)
    yield from (rule.outcome(candidate, reference) for rule in others)
