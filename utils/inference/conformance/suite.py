"""The whole suite: every rule over one file, as rows of a table."""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from utils.errors import ConfigError, FormatError
from utils.export.checks import Check
from utils.export.contract import is_stream_file
from utils.export.runtime import RUNTIME_ERRORS
from utils.inference.conformance import audio_rules, file_rules, host_rules
from utils.inference.conformance.candidate import Candidate
from utils.inference.conformance.live_host import BLOCK_SIZES
from utils.inference.conformance.stream_rules import stream_rules

Rule = Callable[[Candidate], Check]
CRASHES: tuple[type[Exception], ...] = (
    *RUNTIME_ERRORS, ConfigError, FormatError, RuntimeError, ValueError, IndexError, MemoryError,
)  # fmt: skip
log = logging.getLogger(__name__)


def check_conformance(candidate: Candidate) -> list[Check]:
    """Apply every rule; a rule that crashes counts as failed and the others still run.

    Raises:
        ConfigError: if the file is missing or not named as an ONNX file.
    """
    if not candidate.path.is_file():
        raise ConfigError(f"{candidate.path} does not exist; give an exported .onnx file")
    if candidate.path.suffix.lower() != ".onnx":
        raise ConfigError(f"{candidate.path} is no .onnx file; give a graph that export_onnx.py wrote")
    outcomes = [
        _attempt("file", file_rules.check_file, candidate),
        _attempt("loading", file_rules.check_loading, candidate),
    ]
    if not outcomes[-1].passed:
        return outcomes
    if is_stream_file(candidate.path):
        rules = [("name", file_rules.check_name), *stream_rules()]
        return outcomes + [_attempt(name, rule, candidate) for name, rule in rules]
    return outcomes + [_attempt(name, rule, candidate) for name, rule in _rules(candidate.sample_rate)]


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
        ("long recording", audio_rules.check_long),
        ("same input, same output", audio_rules.check_repetition),
        ("latency", audio_rules.check_latency),
        ("not the dry signal", audio_rules.check_conversion),
    ]


def _attempt(name: str, rule: Rule, candidate: Candidate) -> Check:
    try:
        check = rule(candidate)
    except CRASHES as error:
        log.debug("rule %s crashed", name, exc_info=True)
        lines = str(error).strip().splitlines()
        return Check(name, False, f"{type(error).__name__}: {lines[0][:240] if lines else 'no reason given'}")
    return replace(check, figures={key: value for key, value in check.figures.items() if math.isfinite(value)})
