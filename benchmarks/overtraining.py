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
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.options import count, new_file
from benchmarks.voice_quality import CORPORA
from scripts.pipeline import ROOT, Pipeline, empty_folder
from utils.audio.listing import list_audio
from utils.console import emit, table
from utils.corpus.store import CorpusStore
from utils.errors import DataError, WorkbenchError
from utils.files import atomic_write_json
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
LENGTH, BEST = 200, 40
log = logging.getLogger(__name__)


def pick_recordings(folder: Path, seconds: float) -> list[Path]:
    """Choose recordings of so much speech in all, spread over the folder, always the same ones."""
    files = list_audio(folder)
    if not files:
        raise DataError(f"{folder} holds no recordings; name the target's with --target")
    order = np.random.default_rng(0).permutation(len(files))
    chosen: list[Path] = []
    total = 0.0
    for index in order:
        if total >= seconds:
            break
        chosen.append(files[index])
        total += soundfile.info(str(files[index])).duration
    if total < seconds:
        raise DataError(f"{folder} holds {total:.0f} s of recordings, {seconds:.0f} s are needed")
    return sorted(chosen)


def stage(files: Sequence[Path], folder: Path) -> Path:
    """Link recordings into a folder of their own."""
    empty_folder(folder)
    for path in files:
        (folder / path.name).symlink_to(path.resolve())
    return folder


def train_one(name: str, share: float, options: argparse.Namespace, pipeline: Pipeline, work: Path) -> dict[str, Any]:
    """Prepare and train one voice; returns minutes, steps, the curve and what was said about it."""
    dataset, run = Path("datasets") / name, Path("runs") / name
    pipeline.run(
        f"preprocess {name}",
        ["preprocess.py", f"dataset.source=source/{name}", f"dataset.name={name}", "dataset.speaker=target",
         f"preprocess.held_out_share={share:g}"],
        [dataset / "dataset.json"],
    )  # fmt: skip
    command = ["train.py", f"dataset.name={name}", f"run.name={name}", *OVERFIT, f"trainer.steps={options.steps}",
               f"trainer.validate_every={VALIDATE_EVERY}", f"overtraining.patience={options.patience}",
               *options.train]  # fmt: skip
    pipeline.run(f"train {name}", command, [run / "metrics.json"], run_folder=run)
    store = CorpusStore.open(work / dataset)
    minutes = {part: sum(clip.num_frames for clip in store.split(part)) / 6000 for part in ("train", "val")}
    files = {part: {clip.source for clip in store.split(part)} for part in ("train", "val")}
    if files["train"] & files["val"]:
        raise DataError(f"{name}: {sorted(files['train'] & files['val'])} are trained on and held out")
    metrics = json.loads((work / run / "metrics.json").read_text(encoding="utf-8"))
    curve = [(int(row["step"]), float(row["val/mel"])) for row in metrics["history"]]
    detector = OvertrainingDetector(OvertrainingRule(patience=options.patience))
    for step, value in curve:
        detector.update(step, value)
    return {
        "minutes": minutes,
        "held_out_files": len(files["val"]),
        "steps": int(metrics["steps"]),
        "curve": curve,
        "train_mel": training_curve(work / run / "metrics.csv"),
        "verdict": detector.verdict.describe() if detector.verdict else None,
        "best_checkpoint_step": checkpoint_step(work / run / "checkpoints" / "best.ckpt"),
    }


def training_curve(path: Path) -> list[tuple[int, float]]:
    """Return step and training loss from a run's table."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    key = "train/generator/spectral"
    return [(int(row["step"]), float(row[key])) for row in rows if row.get(key)]


def checkpoint_step(path: Path) -> int:
    """Return the update whose weights a checkpoint holds."""
    from utils.training.checkpoints import read_checkpoint

    return int(read_checkpoint(path)["state_dict"]["steps_done"])


def correlated_noise(count: int, deviation: float, correlation: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise [count] whose neighbours are correlated."""
    draws = rng.standard_normal(count)
    values = np.empty(count)
    values[0] = draws[0]
    for index in range(1, count):
        values[index] = correlation * values[index - 1] + np.sqrt(1 - correlation**2) * draws[index]
    return deviation * values


def detected_at(values: np.ndarray, patience: int) -> int | None:
    """Return the validation at which a curve is called overtrained."""
    detector = OvertrainingDetector(OvertrainingRule(patience=patience))
    return next((index for index, value in enumerate(values) if detector.update(index + 1, float(value))), None)


def judge_curves(patience: int, count: int) -> list[list[object]]:
    """Return one row for each kind of noise: alarms on flat and on improving curves, delay on rising ones.

    Args:
        patience: in validations.
        count: curves of each kind.
    """
    improving = 0.5 + 0.5 * np.exp(-np.arange(LENGTH) / 8) + 0.05 * np.exp(-np.arange(LENGTH) / 80)
    rising = np.concatenate([np.full(BEST, 1.0), 1 + 0.005 * np.arange(1, LENGTH - BEST + 1)])
    rows: list[list[object]] = []
    for deviation in (0.001, 0.003, 0.01):
        for correlation in (0.0, 0.5, 0.8):
            found: dict[str, list[int | None]] = {"flat": [], "improving": [], "rising": []}
            for seed in range(count):
                noise = 1 + correlated_noise(LENGTH, deviation, correlation, np.random.default_rng(seed))
                for name, curve in (("flat", np.ones(LENGTH)), ("improving", improving), ("rising", rising)):
                    found[name].append(detected_at(curve * noise, patience))
            alarms = [sum(item is not None for item in found[name]) / count for name in ("flat", "improving")]
            late = sorted(item - BEST + 1 for item in found["rising"] if item is not None and item >= BEST)
            early = sum(item is not None and item < BEST for item in found["rising"]) / count
            delays = [late[len(late) // 2], late[int(0.95 * (len(late) - 1))]] if late else [0, 0]
            rows.append([f"{100 * deviation:g} %", correlation, *[f"{100 * alarm:.1f} %" for alarm in alarms],
                         f"{100 * (len(late) / count + early):.0f} %", *delays])  # fmt: skip
    return rows


def show_curves(options: argparse.Namespace) -> list[list[object]]:
    """Print the table of made curves."""
    emit(f"{options.seeds} curves each of {LENGTH} validations, patience {options.curve_patience} validations; rising:")
    emit(f"0.5 % of the best a validation, from the {BEST}th on")
    rows = judge_curves(options.curve_patience, options.seeds)
    emit(table(rows, ["noise", "correlation", "false alarms, flat", "false alarms, improving", "rising found",
                      "delay, median", "delay, 95 %"]))  # fmt: skip
    return rows


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overtraining", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--target", type=Path, default=CORPORA / "kathleen", help="recordings of one voice")
    parser.add_argument("--steps", type=count, default=3000, help="longest training of each voice")
    parser.add_argument("--patience", type=count, default=500, help="steps that the criterion has to be worse")
    parser.add_argument("--curves", action="store_true", help="judge made curves and train nothing")
    parser.add_argument("--seeds", type=count, default=CURVES, help="made curves of each kind")
    parser.add_argument("--curve-patience", type=count, default=6, help="validations, for the made curves")
    parser.add_argument("--work", type=Path, default=ROOT / "reports" / "overtraining", help="folder for all results")
    parser.add_argument("--json", type=new_file, help="write all figures here (default: overtraining.json in --work)")
    parser.add_argument("train", nargs="*", help="further overrides for train.py")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 1 when one of the two runs was judged wrongly."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="overtraining: %(message)s")
    if options.curves:
        rows = show_curves(options)
        if options.json:
            atomic_write_json(options.json, {"curves": rows})
        return 0
    if not options.target.is_dir():
        emit(f"skipped: {options.target} is not there; name recordings of one voice with --target")
        return 0
    try:
        work = options.work.resolve()
        few = pick_recordings(options.target, TRAIN_SECONDS + HELD_OUT_SECONDS)
        stage(few, work / "source" / "minute")
        stage(list_audio(options.target), work / "source" / "whole")
        pipeline = Pipeline(work / "state.json", work)
        shares = {
            "minute": HELD_OUT_SECONDS / (TRAIN_SECONDS + HELD_OUT_SECONDS),
            "whole": 0.05,
        }
        results = {name: train_one(name, share, options, pipeline, work) for name, share in shares.items()}
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
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
