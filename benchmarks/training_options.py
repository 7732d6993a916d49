"""What does each option of the training do: steps a second, and the held-out criterion after the same few updates?

    python -m benchmarks.training_options [--dataset NAME] [--steps 60] [--rounds 3] [--only compile] [--json FILE]

Runs train.py once for every option in each round, in turn, so that all see the same machine; the seed is that of the
round. The first curve point of a run, which holds compilation and warm-up, is left out of the rate. A second table
times one forward and backward pass of the discriminators alone, also in turn.
"""

import argparse
import csv
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.options import count, new_file
from benchmarks.voice_quality import CORPORA
from scripts.pipeline import ROOT, Pipeline, empty_folder, run_script
from utils.config.train import train_job
from utils.console import emit, table
from utils.errors import WorkbenchError
from utils.files import atomic_write_json

BASE = "defaults"
OPTIONS: dict[str, list[str]] = {
    BASE: [],
    "every parameter decays": ["optim.decay_all=true"],
    "not fused": ["optim.fused=false"],
    "no average": ["optim.ema_decay=0"],
    "no warm-up": ["optim.warmup_steps=0"],
    "constant rate": ["optim/schedule=constant"],
    "cosine": ["optim/schedule=cosine"],
    "channels last": ["trainer.channels_last=true"],
    "compile": ["trainer.compile=true"],
}
LOG_EVERY = 10
JUDGES = ("light", "rvc_v2")
LAYOUTS = ("as it is", "channels last", "compile", "compile, channels last")
log = logging.getLogger(__name__)


def train_once(name: str, changed: Sequence[str], seed: int, options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Train for the fixed number of steps; returns the median rate, the criterion and the seconds in all."""
    run = work / "runs" / f"{name.replace(' ', '_').replace(',', '')}_{seed}"
    empty_folder(run)
    command = ["train.py", f"dataset.name={options.dataset or 'target'}", f"dataset.root={options.root}",
               f"run.root={run.parent}", f"run.name={run.name}", f"trainer.steps={options.steps}",
               f"trainer.validate_every={options.steps}", f"trainer.log_every={LOG_EVERY}", f"seed={seed}",
               "trainer.media=false", "retrieval.codebook_size=0", *options.train, *changed]  # fmt: skip
    seconds = run_script(command, work)
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    rates = [float(row["performance/steps_per_second"]) for row in rows if row.get("performance/steps_per_second")]
    if len(rates) < 2:
        raise WorkbenchError(f"--steps={options.steps} is too few for a rate; give at least {2 * LOG_EVERY}")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return {
        "steps_per_second": statistics.median(rates[1:]),
        "val_mel": float(metrics["last"]["val/mel"]),
        "seconds": seconds,
    }


def summarise(results: dict[str, list[dict[str, Any]]]) -> list[list[object]]:
    """Return one row an option: rate and criterion, and both against the defaults of the same round."""
    rows: list[list[object]] = []
    for name, rounds in results.items():
        against = list(zip(rounds, results[BASE], strict=True))
        rates = [one["steps_per_second"] / base["steps_per_second"] for one, base in against]
        gaps = [one["val_mel"] - base["val_mel"] for one, base in against]
        rows.append([name, statistics.median(item["steps_per_second"] for item in rounds),
                     f"{statistics.median(rates):.2f}", f"{min(rates):.2f} to {max(rates):.2f}",
                     f"{statistics.median(item['val_mel'] for item in rounds):.4f}",
                     f"{statistics.median(gaps):+.4f}", f"{min(gaps):+.4f} to {max(gaps):+.4f}"])  # fmt: skip
    return rows


def judge_passes(batch: int, samples: int, rounds: int, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Time one pass of each discriminator in each layout, in turn.

    Args:
        batch: clips.
        samples: length of each.
        rounds: passes timed for each layout.
        names: options of the group discriminator.
    Returns:
        Median milliseconds by discriminator and layout.
    """
    import torch

    from utils.training.optimizers import lay_out_channels_last

    device = "cuda" if torch.cuda.is_available() else "cpu"
    audio = 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(0)).to(device)
    found: dict[str, dict[str, float]] = {}
    for name in names:
        passes: dict[str, Callable[[], None]] = {}
        for layout in LAYOUTS:
            judge = train_job([f"discriminator={name}"]).discriminator.build().to(device)
            if "channels last" in layout:
                lay_out_channels_last(judge)
            if "compile" in layout:
                judge.compile(dynamic=False)

            def once(judge: Any = judge) -> None:
                sum(score.float().square().mean() for score in judge(audio).scores).backward()
                if device == "cuda":
                    torch.cuda.synchronize()

            passes[layout] = once
        times: dict[str, list[float]] = {layout: [] for layout in LAYOUTS}
        for index in range(rounds + 1):
            for layout, one_pass in passes.items():
                started = time.perf_counter()
                one_pass()
                if index:  # the first pass compiles and warms up
                    times[layout].append(1000 * (time.perf_counter() - started))
        found[name] = {layout: statistics.median(values) for layout, values in times.items()}
    return found


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_options", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--dataset", help="a prepared dataset; without it --target is prepared first")
    parser.add_argument("--root", type=Path, help="folder of prepared datasets (default: datasets in --work)")
    parser.add_argument("--target", type=Path, default=CORPORA / "kathleen", help="recordings of one voice")
    parser.add_argument("--steps", type=count, default=60, help="updates of each run")
    parser.add_argument("--rounds", type=count, default=3, help="runs of each option")
    parser.add_argument("--only", help=f"some of these, with commas: {', '.join(list(OPTIONS)[1:])}")
    parser.add_argument("--judges", default=",".join(JUDGES), help="discriminators of the second table; empty: none")
    parser.add_argument("--judge-samples", type=count, default=17280, help="samples that the discriminators see")
    parser.add_argument("--judge-rounds", type=count, default=5, help="passes of each layout")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "reports" / "training_options", help="folder for all results"
    )
    parser.add_argument("--json", type=new_file, help="figures as JSON (default: training_options.json in --work)")
    parser.add_argument("train", nargs="*", help="further overrides for every run, for example experiment=rvc_v2_48k")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="training_options: %(message)s")
    if not options.dataset and not options.target.is_dir():
        emit(f"skipped: {options.target} is not there; name recordings with --target or a prepared --dataset")
        return 0
    work = options.work.resolve()
    options.root = (options.root or work / "datasets").resolve()
    chosen = [BASE, *(options.only.split(",") if options.only else list(OPTIONS)[1:])]
    try:
        unknown = [name for name in chosen if name not in OPTIONS]
        if unknown:
            raise WorkbenchError(f"--only={','.join(unknown)} is unknown; allowed: {', '.join(list(OPTIONS)[1:])}")
        work.mkdir(parents=True, exist_ok=True)
        if not options.dataset:
            Pipeline(work / "state.json", work).run(
                "preprocess",
                ["preprocess.py", f"dataset.source={options.target.resolve()}", "dataset.name=target",
                 "dataset.speaker=target", f"dataset.root={options.root}"],
                [options.root / "target" / "dataset.json"],
            )  # fmt: skip
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
        for seed in range(1, options.rounds + 1):
            # every other round backwards: what drifts with time meets all alike
            for name in chosen if seed % 2 else chosen[::-1]:
                results[name].append(train_once(name, OPTIONS[name], seed, options, work))
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    emit()
    emit(table(summarise(results), ["option", "steps/s", "ratio", "of each round", "val/mel", "difference",
                                    "of each round "]))  # fmt: skip
    names = [name for name in options.judges.split(",") if name]
    judged = judge_passes(2, options.judge_samples, options.judge_rounds, names)
    for name, layouts in judged.items():
        emit()
        base = layouts[LAYOUTS[0]]
        emit(table([[layout, value, f"{base / value:.2f}"] for layout, value in layouts.items()],
                   [f"discriminator={name}", "ms a pass", "times as fast"]))  # fmt: skip
    atomic_write_json(options.json or work / "training_options.json", {"training": results, "judges": judged})
    return 0


if __name__ == "__main__":
    sys.exit(main())
