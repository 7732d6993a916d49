"""What a person is told of an export, as text."""

import shlex

from utils.errors import ExportError
from utils.export.delivery import ExportOutcome
from utils.verification.report import checks_table
from utils.voice_file.names import is_stream_file


def checks_text(outcome: ExportOutcome) -> str:
    """Return what was taken from an imported file, and for each graph the rules with their outcomes."""
    graphs = [f"{graph.path.name}\n{checks_table(graph.checks)}\n" for graph in outcome.graphs]
    return "\n".join([*outcome.notes, *graphs])


def require_passed(outcome: ExportOutcome) -> None:
    """Raise ExportError, naming the rules that do not hold, unless all do."""
    if outcome.failures:
        raise ExportError(f"nothing was exported, {outcome.folder} is as before; failed: {'; '.join(outcome.failures)}")


def files_text(outcome: ExportOutcome) -> str:
    """Return what was written, and the command to try it."""
    lines = [f"index: {outcome.index}"] if outcome.index is not None else []
    lines += [str(outcome.baking)] if outcome.baking is not None else []
    lines += [f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)" for path in outcome.files]
    graphs = [path for path in outcome.files if path.suffix == ".onnx" and not is_stream_file(path)]
    if graphs:
        lines.append(f"next: python test_model.py onnx={shlex.quote(str(graphs[0]))} audio=<recording or folder>")
    else:
        lines.append("next: docs/tutorials/live.md has the loop of a host")
    return "\n".join(lines)
