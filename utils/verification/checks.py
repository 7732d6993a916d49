"""Outcome of one rule that an exported graph must keep. Plain data."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Check:
    """Outcome of one rule.

    Attributes:
        name: what is checked.
        passed: whether the rule holds; also true where it could not be tried.
        detail: figures, or the reasons of a failure.
        figures: numbers for the card; finite.
        is_skipped: whether it could not be tried; `detail` says why.
        is_warning: whether it passed only because nothing better can be asked of this voice; `detail` says why.
        is_unjudged: whether it does not hold, and the voice that the graph was made from does not keep it either.
    """

    name: str
    passed: bool
    detail: str
    figures: dict[str, float] = field(default_factory=dict)
    is_skipped: bool = False
    is_warning: bool = False
    is_unjudged: bool = False

    @property
    def outcome(self) -> str:
        """PASS, WARN, SKIP or FAIL."""
        if not self.passed:
            return "FAIL"
        return "SKIP" if self.is_skipped else "WARN" if self.is_warning else "PASS"


def verdict(
    name: str,
    problems: list[str],
    detail: str,
    figures: dict[str, float] | None = None,
    *,
    is_warning: bool = False,
) -> Check:
    """Return a rule's outcome: it holds when there are no problems, which else stand in place of the detail."""
    return Check(name, not problems, "; ".join(problems) or detail, figures or {}, is_warning=is_warning)


def skipped(name: str, reason: str) -> Check:
    """Return the outcome of a rule that could not be tried."""
    return Check(name, True, reason, is_skipped=True)
