"""The whole suite: every rule over one file, as rows of a table."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from utils.errors import ConfigError
from utils.verification import audio_rules, control_rules, file_rules, host_rules
from utils.verification.candidate import Candidate
from utils.verification.checks import Check
from utils.verification.kinds import generator_of, is_stream
from utils.verification.live_host import BLOCK_SIZES
from utils.verification.rvc_clients import check_generator
from utils.verification.stream_rules import stream_rules

Rule = Callable[[Candidate], Check]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """Outcome of the rules for a file.

    Attributes:
        kind: "audio_to_audio", "stream", or the name of a format of RVC generators.
        rules: of whom the rules are, for people.
        checks: one for each rule.
    """

    kind: str
    rules: str
    checks: list[Check]


def check_file(candidate: Candidate) -> Verdict:
    """Apply the rules of the programs that load such a file.

    Raises:
        ConfigError: if the file is missing or not named as an ONNX file.
        FormatError: if it is a graph, but no voice.
    """
    _require_file(candidate)
    generator = generator_of(candidate) if _loads(candidate) else None
    if generator is not None:
        return Verdict(
            generator.rvc_format.name,
            f"{generator.rvc_format.program} (docs/reference/generator_graphs.md)",
            check_generator(generator),
        )
    checks = check_conformance(candidate)
    if checks[1].passed and is_stream(candidate):
        return Verdict("stream", "streams (docs/reference/verification_rules.md)", checks)
    return Verdict("audio_to_audio", "voclo (docs/reference/verification_rules.md)", checks)


def check_conformance(candidate: Candidate) -> list[Check]:
    """Apply every rule; a rule that crashes counts as failed and the others still run.

    Raises:
        ConfigError: if the file is missing or not named as an ONNX file.
    """
    _require_file(candidate)
    outcomes = [
        _attempt("file", file_rules.check_file, candidate),
        _attempt("loading", file_rules.check_loading, candidate),
    ]
    if not outcomes[-1].passed:
        return outcomes
    if is_stream(candidate):
        rules = [("name", file_rules.check_name), *stream_rules()]
    else:
        try:
            rules = _rules(candidate.sample_rate)
        except Exception as error:  # of a strange file, whose rate nobody can use
            log.debug("the inputs of the rules cannot be made", exc_info=True)
            return [*outcomes, _crashed("inputs of the rules", error)]
    return outcomes + [_attempt(name, rule, candidate) for name, rule in rules]


def _require_file(candidate: Candidate) -> None:
    if not candidate.path.is_file():
        raise ConfigError(f"{candidate.path} does not exist; give an exported .onnx file")
    if candidate.path.suffix.lower() != ".onnx":
        raise ConfigError(f"{candidate.path} is no .onnx file; give a graph that export_onnx.py wrote")


def _loads(candidate: Candidate) -> bool:
    return _attempt("loading", file_rules.check_loading, candidate).passed


def _rules(sample_rate: int) -> list[tuple[str, Rule]]:
    """Return name and rule of all that a loaded graph must keep."""
    blocks = [(f"voclo, blocks of {size}", partial(host_rules.check_blocks, block=size)) for size in BLOCK_SIZES]
    cases = [(case.name, partial(audio_rules.check_case, case=case)) for case in audio_rules.cases(sample_rate)]
    return [
        ("name", file_rules.check_name),
        ("required input", file_rules.check_inputs),
        ("first output", file_rules.check_output),
        *blocks,
        ("voclo, odd sizes", host_rules.check_odd_sizes),
        ("voclo, seams", host_rules.check_seams),
        ("voclo, memory", host_rules.check_memory),
        *cases,
        ("hostile controls", control_rules.check_hostile_controls),
        ("long recording", audio_rules.check_long),
        ("same input, same output", audio_rules.check_repetition),
        ("latency", audio_rules.check_latency),
        ("not the dry signal", audio_rules.check_conversion),
    ]


def _attempt(name: str, rule: Rule, candidate: Candidate) -> Check:
    try:
        check = rule(candidate)
    except Exception as error:  # whatever a strange file does to a rule is that rule's outcome
        log.debug("rule %s crashed", name, exc_info=True)
        return _crashed(name, error)
    return replace(check, figures={key: value for key, value in check.figures.items() if math.isfinite(value)})


def _crashed(name: str, error: Exception) -> Check:
    lines = str(error).strip().splitlines()
    return Check(name, False, f"{type(error).__name__}: {lines[0][:240] if lines else 'no reason given'}")
