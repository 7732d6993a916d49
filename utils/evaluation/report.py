"""Evaluate a folder of converted recordings against their sources and the target voice.

    python -m utils.evaluation.report --converted DIR --sources DIR --target DIR [--json FILE]

Files belong together by sub-folder and name without the ending, as test_model.py writes them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.audio.listing import list_audio, spread
from utils.console import emit, table, tell_error
from utils.errors import WorkbenchError
from utils.evaluation.evaluation import Evaluation, evaluate
from utils.evaluation.evaluators import load_evaluators
from utils.evaluation.options import add_evaluator_options
from utils.evaluation.pairing import listed
from utils.files import atomic_write_json


def render(evaluation: Evaluation) -> str:
    """Return the figures as a table; a missing evaluator stands there with the command that installs it."""
    labels = {
        "source_to_target": "similarity source -> target",
        "converted_to_target": "similarity converted -> target",
        "converted_to_source": "similarity converted -> source",
        "target_own": "similarity of the target's own clips",
    }
    rows: list[list[object]] = []
    for key, value in evaluation.means.items():
        evaluator, _, figure = key.partition("_")
        label = f"{labels[figure]} ({evaluator})" if figure in labels else key.replace("_", " ")
        rows.append([label, "-" if value is None else f"{value:.3f}"])
    for name, command in evaluation.missing.items():
        rows.append([f"{name}: not installed", command])
    whole = sum("identical" in row for row in evaluation.files)
    words = f", words of {len(evaluation.files)}" if whole < len(evaluation.files) else ""
    return table(rows, [f"mean of {whole} files{words}", "value"])


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.evaluation.report", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--converted", type=Path, required=True, help="folder of converted files")
    parser.add_argument("--sources", type=Path, required=True, help="folder of the sources, same names")
    parser.add_argument("--target", type=Path, required=True, help="folder of the target voice's recordings")
    parser.add_argument("--target-clips", type=int, default=20, help="how many target clips make the reference")
    add_evaluator_options(parser)
    parser.add_argument("--threads", type=int, default=1, help="threads of the recognizer")
    parser.add_argument("--json", type=Path, help="write all figures here")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    try:
        evaluators = load_evaluators(options.evaluators, language=options.language, num_threads=options.threads)
        sources = list_audio(options.sources)
        target = spread(list_audio(options.target), options.target_clips)
        evaluation = evaluate(options.converted, sources, target, evaluators, below=options.sources)
    except WorkbenchError as error:
        tell_error("error", error.lines)
        return 2
    emit(render(evaluation))
    if evaluation.left_out:
        shown = listed([Path(name) for name in evaluation.left_out])
        emit(f"left out, without a converted file: {len(evaluation.left_out)} sources ({shown})")
    if options.json:
        atomic_write_json(options.json, evaluation.as_json())
    if evaluation.failures:
        for failure in evaluation.failures:
            emit(f"FAILED {failure['file']}: {failure['reason']}")
        names = listed([Path(failure["file"]) for failure in evaluation.failures])
        tell_error("error", [f"{len(evaluation.failures)} file(s) could not be evaluated: {names}"])
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
