"""Outcome of one rule that an exported graph must keep. Plain data, imports no torch."""

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
    """

    name: str
    passed: bool
    detail: str
    figures: dict[str, float] = field(default_factory=dict)
    is_skipped: bool = False
