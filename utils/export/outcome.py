"""What an export leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.errors import ExportError
from utils.export.retrieval import WrittenIndex
from utils.verification.checks import Check


@dataclass(frozen=True)
class VerifiedGraph:
    """A written graph and the outcome of its verification."""

    path: Path
    checks: tuple[Check, ...]

    @property
    def has_passed(self) -> bool:
        """Whether every rule holds."""
        return all(check.passed for check in self.checks)


@dataclass(frozen=True, kw_only=True)
class ExportOutcome:
    """Where the voice is, and everything that was verified.

    Attributes:
        folder: of the voice.
        files: what was written; nothing when a rule failed.
        graphs: with their checks; none where files of other programs were written.
        index: beside the graphs; None without the recordings of the voice, and for other programs.
        origin: lines that say what was taken from an imported file.
        notes: lines that say what else is to be known.
    """

    folder: Path
    files: Sequence[Path] = ()
    graphs: Sequence[VerifiedGraph] = ()
    index: WrittenIndex | None = None
    origin: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failures(self) -> list[str]:
        """Names of the rules that do not hold, with their file."""
        return [
            f"{graph.path.name}: {check.name}" for graph in self.graphs for check in graph.checks if not check.passed
        ]

    def require_success(self) -> None:
        """Refuse an export of which a rule failed.

        Raises:
            ExportError: with the names of the rules.
        """
        if self.failures:
            raise ExportError(f"nothing was exported, {self.folder} is as before; failed: {'; '.join(self.failures)}")
