"""Options of every command line that uses evaluators."""

import argparse
from collections.abc import Sequence
from typing import Any

from utils.console import tell
from utils.evaluation.evaluators import DEFAULT_EVALUATORS, EVALUATOR_NAMES


def evaluator_names(text: str) -> tuple[str, ...]:
    """Read names with commas between them, for argparse; an empty text names none."""
    return tuple(name for name in text.split(",") if name)


def add_evaluator_options(parser: argparse.ArgumentParser, default: Sequence[str] = DEFAULT_EVALUATORS) -> None:
    """Add --evaluators (which sets `evaluators`, a tuple of names) and --language to a parser.

    Args:
        parser: of the program.
        default: names of the evaluators that are used when none are given.
    """
    parser.add_argument(
        "--evaluators",
        type=evaluator_names,
        default=tuple(default),
        metavar="NAME,...",
        help=f"of {', '.join(EVALUATOR_NAMES)} (default: {','.join(default)})",
    )
    parser.add_argument(
        "--judges", dest="evaluators", type=evaluator_names, action=_Renamed, default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )  # fmt: skip
    parser.add_argument("--language", default="en", help="two-letter code of what the sources speak, for whisper")


class _Renamed(argparse.Action):
    """Take the value of an option under its old name, and say the new name."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        tell(f"{option_string} is now called --{self.dest}")
        setattr(namespace, self.dest, values)
