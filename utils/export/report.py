"""What a person is told of an export, as text."""

from collections.abc import Sequence
from pathlib import Path

from utils.console import pasted
from utils.export.outcome import ExportOutcome
from utils.verification.report import checks_table
from utils.voice_file.names import is_stream_file


def export_text(outcome: ExportOutcome) -> str:
    """Return what was verified and, unless a rule failed, what was written."""
    lines = list(outcome.origin)
    for graph in outcome.graphs:
        lines += [graph.path.name, checks_table(graph.checks), ""]
    if outcome.failures:
        return "\n".join(lines)
    if outcome.index is not None:
        lines.append(f"index: {outcome.index.report}")
        lines += [str(outcome.index.baking)] if outcome.index.baking is not None else []
    lines += [f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)" for path in outcome.files]
    return "\n".join([*lines, *outcome.notes])


def next_step(files: Sequence[Path]) -> str:
    """Return what to do with the graphs of a voice."""
    first = next((path for path in files if path.suffix == ".onnx" and not is_stream_file(path)), None)
    if first is None:
        return "next: docs/tutorials/live.md has the loop of a host"
    return f"next: python test_model.py {pasted(f'onnx={first}')} audio=<recording or folder>"
