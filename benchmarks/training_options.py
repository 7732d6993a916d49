"""What does each option of the training do: steps a second, and the held-out criterion after the same few updates?

    python -m benchmarks.training_options [--dataset NAME] [--steps 60] [--rounds 3] [--only compile] [--json FILE]

Runs train.py once for every option in each round, in turn, so that all see the same machine; the seed is that of the
round. The first curve point of a run, which holds compilation and warm-up, is left out of the rate. A second table
times one forward and backward pass of the discriminators alone, also in turn.
"""

import argparse
import csv
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.options import BenchmarkParser, is_absent, work_folder, write_figures
from benchmarks.target_voices import TargetVoices
from benchmarks.timing import take_turns
from scripts.pipeline import empty_folder, run_script
from utils.command_line import run_program, whole_number
from utils.config.train import train_job
from utils.console import emit, table
from utils.errors import WorkbenchError
from utils.training.optimizers import lay_out_channels_last

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
DISCRIMINATORS = ("light", "rvc_v2")
LAYOUTS = ("as it is", "channels last", "compile", "compile, channels last")


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


def discriminator_passes(batch: int, samples: int, rounds: int, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Time one forward and backward pass of discriminators alone, the layouts taking turns.

    Args:
        batch: clips.
        samples: length of each.
        rounds: passes timed for each layout.
        names: options of the group discriminator.
    Returns:
        Median milliseconds by discriminator and layout.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    audio = 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(0)).to(device)
    found: dict[str, dict[str, float]] = {}
    for name in names:
        times = take_turns({layout: _one_pass(name, layout, audio) for layout in LAYOUTS}, rounds)
        found[name] = {layout: 1000 * statistics.median(values) for layout, values in times.items()}
    return found


def _one_pass(name: str, layout: str, audio: torch.Tensor) -> Callable[[], None]:
    """Return a pass of a discriminator over audio, in a layout."""
    discriminator = train_job([f"discriminator={name}"]).discriminator.build().to(audio.device)
    if "channels last" in layout:
        lay_out_channels_last(discriminator)
    if "compile" in layout:
        discriminator.compile(dynamic=False)

    def once() -> None:
        sum(score.float().square().mean() for score in discriminator(audio).scores).backward()
        if audio.is_cuda:
            torch.cuda.synchronize()

    return once


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("training_options", __doc__)
    parser.add_argument("--dataset", help="a prepared dataset; without it --target is prepared first")
    parser.add_argument("--root", type=Path, help="folder of prepared datasets (default: datasets in --work)")
    parser.add_target()
    parser.add_argument("--steps", type=whole_number, default=60, help="updates of each run")
    parser.add_argument("--rounds", type=whole_number, default=3, help="runs of each option")
    parser.add_argument("--only", help=f"some of these, with commas: {', '.join(list(OPTIONS)[1:])}")
    parser.add_argument(
        "--discriminators", default=",".join(DISCRIMINATORS), help="those of the second table; empty: none"
    )
    parser.add_argument(
        "--discriminator-samples", type=whole_number, default=17280, help="samples that the discriminators see"
    )
    parser.add_argument("--discriminator-rounds", type=whole_number, default=5, help="passes of each layout")
    parser.add_work()
    parser.add_train_overrides("experiment=rvc_v2_48k")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    if not options.dataset and is_absent(options.target, "--target, or a prepared --dataset"):
        return 0
    return run_program("training_options", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Train with every option in each round, time the discriminators, print the tables; return the exit code."""
    chosen = [BASE, *(options.only.split(",") if options.only else list(OPTIONS)[1:])]
    unknown = [name for name in chosen if name not in OPTIONS]
    if unknown:
        raise WorkbenchError(f"--only={','.join(unknown)} is unknown; allowed: {', '.join(list(OPTIONS)[1:])}")
    work = work_folder(options)
    options.root = (options.root or work / "datasets").resolve()
    if not options.dataset:
        TargetVoices(options.target, work, options.root).prepare()
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for seed in range(1, options.rounds + 1):
        # every other round backwards: what drifts with time meets all alike
        for name in chosen if seed % 2 else chosen[::-1]:
            results[name].append(train_once(name, OPTIONS[name], seed, options, work))
    emit()
    emit(table(summarise(results), ["option", "steps/s", "ratio", "of each round", "val/mel", "difference",
                                    "of each round "]))  # fmt: skip
    names = [name for name in options.discriminators.split(",") if name]
    passes = discriminator_passes(2, options.discriminator_samples, options.discriminator_rounds, names)
    for name, layouts in passes.items():
        emit()
        base = layouts[LAYOUTS[0]]
        emit(table([[layout, value, f"{base / value:.2f}"] for layout, value in layouts.items()],
                   [f"discriminator={name}", "ms a pass", "times as fast"]))  # fmt: skip
    write_figures(options, "training_options", {"training": results, "discriminators": passes})
    return 0


if __name__ == "__main__":
    sys.exit(main())
