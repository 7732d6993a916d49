"""The whole way once: recordings -> features -> training -> ONNX and index -> converted files -> figures.

    make demo

The recordings are made by two text-to-speech voices (scripts/demo_corpus.py). What is already there is reused;
delete the folder demo/ to begin again.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.options import duration
from scripts.demo_corpus import TARGET_SPEAKER, make_corpus
from scripts.pipeline import ROOT, Pipeline, Stage, only_file, real_time_factors
from utils.console import emit, table
from utils.errors import WorkbenchError
from utils.files import atomic_write_json

NAME = "demo"
MINUTES = 2.0
NEXT = """Next, with recordings of your own (wav, flac, ogg or mp3; ten minutes are a good start):
  . .venv/bin/activate
  python preprocess.py dataset.source=<folder of recordings> dataset.name=<name>"""
log = logging.getLogger(__name__)


def run_demo(work: Path, minutes: float) -> tuple[list[Stage], dict[str, Any], dict[str, Path]]:
    """Run what is not done yet.

    Args:
        work: folder that receives demo/, datasets/, runs/ and exports/.
        minutes: time for the training.
    Returns:
        The stages with their seconds, the figures by name and the files by name.
    """
    home = work / "demo"
    start = time.perf_counter()
    target, sources, is_new = make_corpus(home / "corpus")
    pipeline = Pipeline(home / "state.json", work)
    pipeline.add(Stage("corpus", time.perf_counter() - start, not is_new))
    dataset, run, export = Path("datasets") / NAME, Path("runs") / NAME, Path("exports") / NAME
    pipeline.run("preprocess", ["preprocess.py", f"dataset.source={_near(target, work)}", f"dataset.name={NAME}"],
                 [dataset / "dataset.json"])  # fmt: skip
    pipeline.run("train", train_command(minutes), [run / "metrics.json"], run_folder=run)
    pipeline.run("export", ["export_onnx.py", f"run={run}", f"name={NAME}"], [export / "card.json"])
    onnx = only_file(work / export, "*.onnx")
    converted, report, judged = home / "converted", home / "report.json", home / "similarity.json"
    pipeline.run("convert", ["test_model.py", f"onnx={_near(onnx, work)}", f"audio={_near(sources, work)}",
                             f"output={_near(converted, work)}", f"report={_near(report, work)}", "pitch_shift=auto"],
                 [converted, report])  # fmt: skip
    pipeline.run("judge", ["-m", "utils.evaluation.report", f"--converted={_near(converted, work)}",
                           f"--sources={_near(sources, work)}", f"--target={_near(target / TARGET_SPEAKER, work)}",
                           "--evaluators=resemblyzer", f"--json={_near(judged, work)}"], [judged])  # fmt: skip
    files = {"voice": onnx, "index": only_file(work / export, "*.index"), "card": work / export / "card.md",
             "converted": converted, "TensorBoard": work / run / "tensorboard"}  # fmt: skip
    return pipeline.stages, collect(work / run, work / export, report, judged), files


def train_command(minutes: float) -> list[str]:
    """Return the training command; the time box ends it before its steps do."""
    return [
        "train.py",
        f"dataset.name={NAME}",
        f"run.name={NAME}",
        "pretrained=builtin",
        f"trainer.max_minutes={minutes:g}",
        "trainer.validate_every=50",  # the default is for runs of hours
    ]


def collect(run: Path, export: Path, report: Path, judged: Path) -> dict[str, Any]:
    """Read the figures that the stages left behind."""
    training, card, conversion, similarity = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (run / "metrics.json", export / "card.json", report, judged)
    )
    means = similarity["means"]
    return {
        "held-out loss, first": training["first"]["val/mel"],
        "held-out loss, last": training["last"]["val/mel"],
        "training steps": training["steps"],
        "similarity source -> target": means["resemblyzer_source_to_target"],
        "similarity converted -> target": means["resemblyzer_converted_to_target"],
        "similarity converted -> source": means["resemblyzer_converted_to_source"],
        "F0 correlation, voiced frames": means["f0_correlation"],
        "files equal to their source": int(means["identical_files"]),
        "ONNX - PyTorch, relative": parity_of(card),
        **real_time_factors(conversion),
    }


def parity_of(card: dict[str, Any]) -> float:
    """Return the largest relative difference between ONNX and PyTorch that export_onnx.py measured."""
    checks = [check for graph in card["verification"].values() for check in graph]
    return max(
        float(check["figures"]["parity_relative_rms"]) for check in checks if "parity_relative_rms" in check["figures"]
    )


def show(stages: Sequence[Stage], figures: dict[str, Any], files: dict[str, Path], work: Path) -> None:
    """Print the tables."""
    emit()
    emit(table([[stage.name, round(stage.seconds, 1), "reused" if stage.reused else "done"] for stage in stages],
               ["stage", "seconds", ""]))  # fmt: skip
    emit()
    emit(table([[name, _number(value)] for name, value in figures.items()], ["figure", "value"]))
    emit()
    emit(table([[name, str(_near(path, work))] for name, path in files.items()], ["made", "where"]))
    emit()
    if all(stage.reused for stage in stages):
        emit("Everything was already there; delete the folder demo/ to run it again.")
        emit()
    emit(NEXT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=duration, default=MINUTES, help=f"of training (default {MINUTES:g})")
    parser.add_argument("--work", type=Path, default=ROOT, help="folder for everything that is made")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="demo: %(message)s")
    try:
        work = options.work.resolve()
        work.mkdir(parents=True, exist_ok=True)
        stages, figures, files = run_demo(work, options.minutes)
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    show(stages, figures, files, work)
    seconds = {stage.name: round(stage.seconds, 1) for stage in stages}
    atomic_write_json(work / "demo" / "summary.json", {"figures": figures, "seconds": seconds})
    return 0


def _near(path: Path, work: Path) -> Path:
    """Return a path inside the work folder as a person in that folder writes it."""
    return path.relative_to(work) if path.is_relative_to(work) else path


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3g}" if abs(value) < 0.01 else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(main())
