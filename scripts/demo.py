"""Make a voice from nothing: recordings -> features -> training -> ONNX file -> converted recordings -> figures.

    make demo

Two text-to-speech voices make the recordings (scripts/demo_corpus.py). What is already there is reused; delete the
folder demo/ to begin again.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scripts.demo_corpus import TARGET_SPEAKER, make_corpus
from scripts.pipeline import ROOT, Pipeline, Stage, only_file, real_time_factors
from utils.command_line import first_line, positive_number, run_program
from utils.console import emit, table
from utils.files import atomic_write_json

NAME = "demo"
MINUTES = 2.0
# stage -> what happens in it
STAGES = {
    "corpus": "two text-to-speech voices read sentences: one is the target, one the source",
    "preprocess": "cut the target's recordings into clips and compute their features",
    "train": "train the voice, starting from the base voice",
    "export": "write the voice as one ONNX file and compare it with the trained network",
    "convert": "convert the source's recordings into the target's voice",
    "evaluate": "compare the converted recordings with target and source",
}
# figure -> how to read it
MEANINGS = {
    "held-out loss, first": "error on recordings that were kept out of the training, at its start; lower is better",
    "held-out loss, last": "the same at the end of the training",
    "training steps": "updates of the network in the given time",
    "similarity source -> target": "how much the source sounds like the target before the conversion",
    "similarity converted -> target": "the same afterwards; two speakers have about .5, one voice about .9",
    "similarity converted -> source": "how much of the source's voice is left",
    "F0 correlation, voiced frames": "whether the melody of the speech was kept; 1 is perfect",
    "files equal to their source": "recordings that came out unconverted; must be 0",
    "ONNX - PyTorch, relative": "largest difference between the exported file and the trained network",
}
SPEED_MEANING = "processing time over duration; below 1 is faster than real time"
NEXT = """Next, with recordings of your own (wav, flac, ogg or mp3; ten minutes are a good start):
  . .venv/bin/activate
  python preprocess.py dataset.source=<folder of recordings> dataset.name=<name>"""


class DemoResult(NamedTuple):
    """What the demo made.

    Attributes:
        stages: with the seconds of each.
        figures: by name, see MEANINGS.
        files: by what they are.
    """

    stages: list[Stage]
    figures: dict[str, Any]
    files: dict[str, Path]


def run_demo(work: Path, minutes: float) -> DemoResult:
    """Run what is not done yet.

    Args:
        work: folder that receives demo/, datasets/, runs/ and exports/.
        minutes: time for the training.
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
    converted, report, evaluation = home / "converted", home / "report.json", home / "similarity.json"
    pipeline.run("convert", ["test_model.py", f"onnx={_near(onnx, work)}", f"audio={_near(sources, work)}",
                             f"output={_near(converted, work)}", f"report={_near(report, work)}", "pitch_shift=auto"],
                 [converted, report])  # fmt: skip
    pipeline.run("evaluate", ["-m", "utils.evaluation.report", f"--converted={_near(converted, work)}",
                              f"--sources={_near(sources, work)}", f"--target={_near(target / TARGET_SPEAKER, work)}",
                              "--evaluators=resemblyzer", f"--json={_near(evaluation, work)}"],
                 [evaluation])  # fmt: skip
    files = {"voice": onnx, "index": only_file(work / export, "*.index"), "card": work / export / "card.md",
             "converted recordings": converted, "TensorBoard": work / run / "tensorboard"}  # fmt: skip
    return DemoResult(pipeline.stages, collect(work / run, work / export, report, evaluation), files)


def train_command(minutes: float) -> list[str]:
    """Return the training command; the time limit ends it before its steps do."""
    return [
        "train.py",
        f"dataset.name={NAME}",
        f"run.name={NAME}",
        "pretrained=builtin",
        f"trainer.max_minutes={minutes:g}",
        "trainer.validate_every=50",  # the default is for runs of hours
    ]


def collect(run: Path, export: Path, report: Path, evaluation: Path) -> dict[str, Any]:
    """Read the figures that the stages left behind."""
    training, card, conversion, similarity = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (run / "metrics.json", export / "card.json", report, evaluation)
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


def parity_of(card: Mapping[str, Any]) -> float:
    """Return the largest relative difference between ONNX and PyTorch that export_onnx.py measured."""
    checks = [check for graph in card["verification"].values() for check in graph]
    return max(
        float(check["figures"]["parity_relative_rms"]) for check in checks if "parity_relative_rms" in check["figures"]
    )


def show(result: DemoResult, work: Path) -> None:
    """Print the tables: what was done, how good the voice is, what was made."""
    stages = [
        [stage.name, round(stage.seconds, 1), "already there" if stage.reused else "done", STAGES[stage.name]]
        for stage in result.stages
    ]
    figures = [[name, _number(value), MEANINGS.get(name, SPEED_MEANING)] for name, value in result.figures.items()]
    files = [[name, str(_near(path, work))] for name, path in result.files.items()]
    for rows, headers in (
        (stages, ["step", "seconds", "", "what it does"]),
        (figures, ["figure", "value", "how to read it"]),
        (files, ["made", "where"]),
    ):
        emit()
        emit(table(rows, headers))
    emit()
    if all(stage.reused for stage in result.stages):
        emit("Everything was already there; delete the folder demo/ to run it again.")
        emit()
    emit(NEXT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=first_line(__doc__))
    parser.add_argument("--minutes", type=positive_number, default=MINUTES, help=f"of training (default {MINUTES:g})")
    parser.add_argument("--work", type=Path, default=ROOT, help="folder for everything that is made")
    options = parser.parse_args(arguments)
    return run_program("demo", lambda: demo(options.work.resolve(), options.minutes))


def demo(work: Path, minutes: float) -> int:
    """Run the demo, print its tables and write summary.json."""
    work.mkdir(parents=True, exist_ok=True)
    result = run_demo(work, minutes)
    show(result, work)
    seconds = {stage.name: round(stage.seconds, 1) for stage in result.stages}
    atomic_write_json(work / "demo" / "summary.json", {"figures": result.figures, "seconds": seconds})
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
