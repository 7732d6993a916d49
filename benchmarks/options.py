"""What the command lines of the benchmarks have in common."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.pipeline import ROOT
from utils.command_line import new_file, whole_number
from utils.console import emit
from utils.errors import DataError
from utils.evaluation.evaluators import DEFAULT_EVALUATORS
from utils.evaluation.options import add_evaluator_options
from utils.files import atomic_write_json

CORPORA = ROOT.parent / "shared" / "corpora"  # recordings beside the checkout; nothing else needs them
REPORTS = ROOT / "reports"


class BenchmarkParser(argparse.ArgumentParser):
    """The command line of python -m benchmarks.<name>; groups of options that several programs have are added by name.

    Args:
        name: of the program.
        doc: its docstring, shown by --help.
    """

    def __init__(self, name: str, doc: str | None) -> None:
        super().__init__(prog=f"python -m benchmarks.{name}", description=(doc or "").strip())
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        self.name = name

    def add_target(self) -> None:
        """Add --target, recordings of the voice to convert to."""
        self.add_argument("--target", type=Path, default=CORPORA / "kathleen", help="recordings of the target voice")

    def add_sources(self, count: int) -> None:
        """Add --sources and --source-count, recordings to convert and how many of them by default."""
        self.add_argument("--sources", type=Path, default=CORPORA / "librispeech", help="recordings of other speakers")
        self.add_argument(
            "--source-count", type=whole_number, default=count, help=f"how many of them to convert (default: {count})"
        )

    def add_evaluators(self, default: Sequence[str] = DEFAULT_EVALUATORS) -> None:
        """Add --evaluators and --language."""
        add_evaluator_options(self, default)

    def add_work(self) -> None:
        """Add --work, the folder for all that is made, and --json, where all figures are written."""
        self.add_argument("--work", type=Path, default=REPORTS / self.name, help="folder for all that is made")
        self.add_argument("--json", type=new_file, help=f"write all figures here (default: {self.name}.json in --work)")

    def add_json(self) -> None:
        """Add --json for a program without a folder of its own: figures are written only where it is given."""
        self.add_argument("--json", type=new_file, help="write all figures here")

    def add_train_overrides(self, example: str = "pretrained=none") -> None:
        """Add what is passed on to train.py."""
        self.add_argument("train", nargs="*", help=f"further overrides for train.py, for example {example}")


def work_folder(options: argparse.Namespace) -> Path:
    """Return the absolute work folder, made if it is absent."""
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    return work


def write_figures(options: argparse.Namespace, name: str, figures: Any) -> None:
    """Write all figures where --json says, else into the work folder."""
    if options.json is not None or "work" in options:
        atomic_write_json(options.json or options.work.resolve() / f"{name}.json", figures)


def check_recordings(options: argparse.Namespace) -> None:
    """Refuse absent folders of recordings before anything is made.

    Raises:
        DataError: that names the option to give.
    """
    for option in ("target", "sources"):
        folder = getattr(options, option, None)
        if folder is not None and not folder.is_dir():
            raise DataError(f"{folder} is not there; name recordings with --{option}")


def is_absent(folder: Path, option: str) -> bool:
    """Whether recordings are not there; then says how to name others."""
    if not folder.is_dir():
        emit(f"skipped: {folder} is not there; name recordings with {option}")
    return not folder.is_dir()
