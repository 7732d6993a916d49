"""Time training steps of So-VITS-SVC 4.1, and the same of the public code beside it.

    python -m benchmarks.sovits_speed --public <folder of svc-develop-team/so-vits-svc, branch 4.1-Stable>

Each side runs in a process of its own; in every round each does one step, in turn, and medians of the rounds are
compared; processor seconds beside them say what a busy machine hides. Without the folder (or SOVITS_PUBLIC=<folder>)
ours is timed alone. About ten minutes at full size on two idle cores.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from benchmarks.machine import describe_machine
from benchmarks.options import BenchmarkParser, write_figures
from benchmarks.rvc_speed import Result, Sides, show
from utils.command_line import run_program, whole_number
from utils.console import emit
from utils.errors import ConfigError

PUBLIC_VARIABLE = "SOVITS_PUBLIC"
PUBLIC_FILES = ("models.py", "modules/losses.py", "modules/mel_processing.py", "configs_template/config_template.json")
WANTED = {"ours fp32": 1.2, "ours bf16": 2.0}  # at least so many times the public code's speed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("sovits_speed", lambda: measure(options))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("sovits_speed", __doc__)
    parser.add_argument("--public", type=Path, help=f"checkout of the public code; else the variable {PUBLIC_VARIABLE}")
    parser.add_argument("--threads", type=whole_number, default=2, help="of each side")
    parser.add_argument("--batch", type=whole_number, default=4, help="clips of a training step")
    parser.add_argument("--frames", type=int, default=300, help="hundredths of a second of a clip")
    parser.add_argument("--repetitions", type=whole_number, default=9, help="rounds whose median counts")
    parser.add_argument("--seed", type=int, default=0, help="of weights, inputs and random numbers")
    parser.add_json()
    options = parser.parse_args(arguments)
    options.logs, options.device = Path(mkdtemp(prefix="sovits_speed_")), "cpu"
    return options


def measure(options: argparse.Namespace) -> int:
    """Time the steps and print the table; return the exit code."""
    machine, public = describe_machine(), public_folder(options.public)
    emit(f"machine: {machine}; {options.threads} threads")
    emit(f"public code: {public or f'not given (--public or {PUBLIC_VARIABLE}); ours alone'}")
    with Sides(
        options, public, ("fp32", "bf16"), public_side="benchmarks.sovits_speed_public", experiment="sovits_4_1"
    ) as sides:
        sides.ask("prepare", batch=options.batch, frames=options.frames)
        found = sides.rounds("step", options.repetitions)
    emit(f"\ntraining step, 4.1, batch {options.batch}, {options.frames / 100:g} s; {options.repetitions} rounds")
    show(found, WANTED)
    if public is not None:
        emit(f"\nround by round, times public: {paired(found)}")
    write_figures(options, "sovits_speed", {"machine": machine, "training": found})
    return 0


def paired(found: dict[str, Result]) -> str:
    """Return the quotients of the two sides within each round, in words."""
    base, words = found["public"]["all_seconds"], []
    for name, answer in found.items():
        if name != "public":
            quotients = [theirs / own for theirs, own in zip(base, answer["all_seconds"], strict=True)]
            median = statistics.median(quotients)
            words.append(f"{name} {median:.2f} ({min(quotients):.2f} to {max(quotients):.2f})")
    return ", ".join(words)


def public_folder(given: Path | None) -> Path | None:
    """Return the public code's folder, or None if none is given.

    Raises:
        ConfigError: if it does not hold what is run.
    """
    folder = given or (Path(os.environ[PUBLIC_VARIABLE]) if os.environ.get(PUBLIC_VARIABLE) else None)
    lacking = [name for name in PUBLIC_FILES if folder is not None and not (folder / name).is_file()]
    if lacking:
        raise ConfigError(
            f"{folder} is no checkout of svc-develop-team/so-vits-svc, branch 4.1-Stable: {lacking[0]} is missing; "
            "give its folder with --public"
        )
    return folder


if __name__ == "__main__":
    sys.exit(main())
