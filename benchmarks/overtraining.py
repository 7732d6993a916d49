"""Is a run that overfits called overtrained, and one that does not left alone?

    python -m benchmarks.overtraining [--target FOLDER] [--steps 3000] [--work FOLDER] [--json FILE]
    python -m benchmarks.overtraining --curves        the rule on made curves alone: false alarms and delay

Trains two voices with the real scripts and the same settings, made to overfit (small batches, no augmentation, no
average over weights): one on a minute of the target's recordings, one on all of them. Held-out recordings are whole
files in both.
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.made_curves import BEST, LENGTH, curve_rows
from benchmarks.options import BenchmarkParser, is_absent, work_folder
from benchmarks.sources import pick_recordings, stage
from benchmarks.target_voices import TargetVoices
from utils.audio.listing import list_audio
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.corpus.store import CorpusStore
from utils.errors import DataError
from utils.files import atomic_write_json
from utils.training.checkpoints import read_checkpoint
from utils.training.criterion import EQUAL_SHARE
from utils.training.overtraining import OvertrainingDetector, OvertrainingRule

TRAIN_SECONDS = 60.0
HELD_OUT_SECONDS = 30.0
VALIDATE_EVERY = 50
# small batches and no augmentation, so that a minute of speech is learned by heart before the time is up
OVERFIT = (
    "discriminator=none",
    "pretrained=none",
    "data.batch_size=4",
    "data.perturbed_share=0",
    "retrieval.codebook_size=0",
    "retrieval.training_share=0",
    "optim.optimizer.lr=1e-3",
    "optim.optimizer.weight_decay=0",
    "optim/schedule=constant",
    "optim.ema_decay=0.98",
    "trainer.media=false",
)
CURVES = 300


def train_one(name: str, share: float, options: argparse.Namespace, voices: TargetVoices) -> dict[str, Any]:
    """Prepare and train one voice; returns minutes, steps, the curve and what was said about it."""
    voices.prepare(name, [f"preprocess.held_out_share={share:g}"], source=voices.work / "source" / name)
    length = [f"trainer.steps={options.steps}", f"trainer.validate_every={VALIDATE_EVERY}"]
    patience = f"overtraining.patience={options.patience}"
    run = voices.train(name, [*OVERFIT, *length, patience, *options.train], dataset=name)
    store = CorpusStore.open(voices.work / "datasets" / name)
    minutes = {part: sum(clip.num_frames for clip in store.split(part)) / 6000 for part in ("train", "val")}
    files = {part: {clip.source for clip in store.split(part)} for part in ("train", "val")}
    if files["train"] & files["val"]:
        raise DataError(f"{name}: {sorted(files['train'] & files['val'])} are trained on and held out")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    curve = [(int(row["step"]), float(row["val/mel"])) for row in metrics["history"]]
    detector = OvertrainingDetector(OvertrainingRule(patience=options.patience))
    for step, value in curve:
        detector.update(step, value)
    return {
        "minutes": minutes,
        "held_out_files": len(files["val"]),
        "steps": int(metrics["steps"]),
        "curve": curve,
        "train_mel": training_curve(run / "metrics.csv"),
        "verdict": detector.verdict.describe() if detector.verdict else None,
        "best_checkpoint_step": checkpoint_step(run / "checkpoints" / "best.ckpt"),
    }


def training_curve(path: Path) -> list[tuple[int, float]]:
    """Return step and training loss from a run's table."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    key = "train/generator/spectral"
    return [(int(row["step"]), float(row[key])) for row in rows if row.get(key)]


def checkpoint_step(path: Path) -> int:
    """Return the update whose weights a checkpoint holds."""
    return int(read_checkpoint(path)["state_dict"]["steps_done"])


def show_curves(options: argparse.Namespace) -> int:
    """Print the table of made curves; return the exit code."""
    emit(f"{options.seeds} curves each of {LENGTH} validations, patience {options.curve_patience} validations; rising:")
    emit(f"0.5 % of the best a validation, from the {BEST}th on")
    rows = curve_rows(options.curve_patience, options.seeds)
    emit(table(rows, ["noise", "correlation", "false alarms, flat", "false alarms, improving", "rising found",
                      "delay, median", "delay, 95 %"]))  # fmt: skip
    if options.json:
        atomic_write_json(options.json, {"curves": rows})
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("overtraining", __doc__)
    parser.add_target()
    parser.add_argument("--steps", type=whole_number, default=3000, help="longest training of each voice")
    parser.add_argument("--patience", type=whole_number, default=500, help="steps that the criterion has to be worse")
    parser.add_argument("--curves", action="store_true", help="use made curves and train nothing")
    parser.add_argument("--seeds", type=whole_number, default=CURVES, help="made curves of each kind")
    parser.add_argument("--curve-patience", type=whole_number, default=6, help="validations, for the made curves")
    parser.add_work()
    parser.add_train_overrides()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 1 when one of the two runs was called the wrong thing."""
    options = parse(arguments)
    if options.curves:
        return show_curves(options)
    if is_absent(options.target, "--target"):
        return 0
    return run_program("overtraining", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Train both voices and print what is said about them; return the exit code."""
    work = work_folder(options)
    stage(pick_recordings(list_audio(options.target), TRAIN_SECONDS + HELD_OUT_SECONDS), work / "source" / "minute")
    stage(list_audio(options.target), work / "source" / "whole")
    shares = {"minute": HELD_OUT_SECONDS / (TRAIN_SECONDS + HELD_OUT_SECONDS), "whole": 0.05}
    voices = TargetVoices(options.target, work)
    results = {name: train_one(name, share, options, voices) for name, share in shares.items()}
    return show(results, options.json or work / "overtraining.json")


def show(results: dict[str, dict[str, Any]], path: Path) -> int:
    """Print both runs side by side; returns 0 when only the minute was called overtrained and its best was kept."""
    rows = []
    for name, result in results.items():
        best = min(result["curve"], key=lambda item: item[1])
        last = result["curve"][-1]
        rows.append([name, f"{result['minutes']['train']:.1f}", f"{result['minutes']['val']:.1f}", result["steps"],
                     f"{best[1]:.4f} at {best[0]}", f"{last[1]:.4f}", f"{result['train_mel'][-1][1]:.3f}",
                     "overtrained" if result["verdict"] else "fine"])  # fmt: skip
    emit()
    emit(table(rows, ["run", "minutes trained on", "held out", "steps", "best val/mel", "last val/mel",
                      "last training loss", "verdict"]))  # fmt: skip
    for name, result in results.items():
        emit(f"{name}: {result['verdict'] or 'not overtrained'}; best.ckpt holds step {result['best_checkpoint_step']}")
    atomic_write_json(path, results)
    minute = results["minute"]
    values = dict(minute["curve"])
    kept = values[minute["best_checkpoint_step"]] <= (1 + EQUAL_SHARE) * min(values.values())
    return 0 if minute["verdict"] and kept and not results["whole"]["verdict"] else 1


if __name__ == "__main__":
    sys.exit(main())
