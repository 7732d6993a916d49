"""Measure the training engine: steps per second, what surrounds a step, several processes, memory.

    python -m benchmarks.training_speed [--part lite lightning processes memory] [--steps 12] [--json FILE]

lite       two threads, 16 clips of 1 s an update: steps per second, and the share of a step's time that is neither
           forward, backward nor optimizer (loading, logging, Lightning)
lightning  the same networks in a plain loop, in blocks that take turns with Lightning's
processes  two gloo processes of one thread each beside one process of one thread, the same batch
memory     peak resident memory of rvc_v2_48k (4 clips of 3 s): 32 bits, and bf16 with recomputed blocks

Recordings are synthetic: what they say does not change the time. Every figure is a median; the first steps are not
counted. GPU figures are printed where there is one.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bars import Bar, plain_bars, show_bars
from benchmarks.options import BenchmarkParser, write_figures
from scripts.pipeline import ROOT, run_script
from utils.audio.synthetic_speech import write_recordings
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.errors import WorkbenchError

PARTS = ("lite", "lightning", "processes", "memory")
BAR_OUTSIDE = 0.05
BAR_LIGHTNING = 0.03
LITE = ["data.batch_size=16", "data.segment_frames=100"]
RVC = ["experiment=rvc_v2_48k", "data.batch_size=4", "data.segment_frames=300"]
SHORT = [f"trainer.validate_every={10**9}", "trainer.progress_bar=false", "trainer.media=false",
         "trainer.accelerator=cpu"]  # fmt: skip


def prepare(scratch: Path, name: str, *overrides: str) -> None:
    """Run preprocess.py on the recordings."""
    source = scratch / "source"
    names = [f"dataset.source={source}", f"dataset.name={name}", f"dataset.root={scratch}", "dataset.speaker=a"]
    run_script(["preprocess.py", *names, *overrides])


def measure(
    root: Path,
    overrides: Sequence[str],
    *,
    steps: int,
    threads: int,
    processes: int = 1,
    blocks: int = 1,
    plain: bool = False,
) -> dict[str, Any]:
    """Train a few steps in processes of their own; returns what the first one reports.

    Args:
        root: folder of datasets.
        overrides: for train.py.
        steps: of a block.
        threads: of each process.
        processes: that train together.
        blocks: how many.
        plain: whether a plain loop takes turns with Lightning's.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for rank in range(processes):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        if processes > 1:
            environment |= {
                "TORCHELASTIC_RUN_ID": "benchmark", "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0",
                "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }  # fmt: skip
        request = {"overrides": list(overrides), "root": str(root), "steps": steps, "blocks": blocks, "plain": plain}
        command = [sys.executable, "-m", "benchmarks.training_speed_worker", json.dumps(request)]
        running.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True))
    outputs = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise WorkbenchError(f"a measuring process ended with {[process.returncode for process in running]}")
    result: dict[str, Any] = json.loads(outputs[0].splitlines()[-1])
    return result


def rows_of(parts: Sequence[str], steps: int, root: Path, figures: dict[str, Any]) -> Iterator[list[object]]:
    """Measure part by part; yields rows of the table and fills the figures."""
    if "lite" in parts or "lightning" in parts:
        yield from _lite_rows(parts, steps, root, figures)
    run = [f"trainer.steps={steps + 1}", *SHORT, "dataset.name=lite", *LITE]
    if "processes" in parts:
        one = measure(root, run, threads=1, steps=steps)
        two = measure(root, [*run, "trainer.devices=2"], threads=1, processes=2, steps=steps)
        gain = median(one["lightning"]) / median(two["lightning"])
        figures["processes"] = {"gain": gain, "efficiency": gain / 2}
        yield ["lite, 2 gloo processes against 1, a thread each", "efficiency", round(gain / 2, 3)]
    if "memory" in parts:
        settings = {
            "32 bits": ["trainer.precision=32-true"],
            "bf16, blocks recomputed": ["trainer.precision=bf16-mixed", "trainer.recompute=true"],
        }
        peaks = figures["memory"] = {}
        for name, overrides in settings.items():
            run = ["trainer.steps=2", *SHORT, "dataset.name=rvc", *RVC, *overrides]
            peaks[name] = measure(root, run, threads=2, steps=2)["peak_mb"]
            yield [f"rvc_v2_48k, 4 x 3 s, {name}", "peak MB (CPU)", round(peaks[name])]


def _lite_rows(parts: Sequence[str], steps: int, root: Path, figures: dict[str, Any]) -> Iterator[list[object]]:
    run = [f"trainer.steps={steps + 1}", *SHORT, "dataset.name=lite", *LITE]
    result = measure(root, run, threads=2, steps=steps, blocks=3, plain="lightning" in parts)
    period, inside = median(result["lightning"]), median(result["inside"])
    if "lite" in parts:
        figures["lite"] = {"steps_per_second": 1 / period, "outside_share": 1 - inside / period}
        yield ["lite, 16 x 1 s, 2 threads", "steps/s", round(1 / period, 3)]
        yield ["  outside of the training step", "share", round(1 - inside / period, 4)]
    if "lightning" in parts:
        plain = median(result["plain"])
        figures["lightning"] = {"cost": period / plain - 1, "plain_seconds": plain, "seconds": period}
        yield ["  Lightning against a plain loop", "time", f"{period / plain - 1:+.4f}"]


def bars(figures: dict[str, Any]) -> list[Bar]:
    """Return the bars of the parts that were measured."""
    found = []
    if "lite" in figures:
        found.append(Bar("share of a step outside", figures["lite"]["outside_share"], BAR_OUTSIDE, False))
    if "lightning" in figures:
        found.append(Bar("Lightning against a plain loop", figures["lightning"]["cost"], BAR_LIGHTNING, False))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if a bar is missed."""
    parser = BenchmarkParser("training_speed", __doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS, help="only these")
    parser.add_argument("--steps", type=whole_number, default=12, help="steps of a block")
    parser.add_json()
    options = parser.parse_args(arguments)
    return run_program("training_speed", lambda: report(options))


def report(options: argparse.Namespace) -> int:
    """Measure and print the table; return the exit code."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        write_recordings(scratch / "source", num_files=6, seconds=10.0, f0_hz=120.0, sample_rate=48000)
        prepare(scratch, "lite")
        if "memory" in options.part:
            prepare(scratch, "rvc", "audio=rvc_48k")
        rows = list(rows_of(options.part, options.steps, scratch, figures))
    emit(table(rows, ["what", "unit", "median"]))
    reached = bars(figures)
    if reached:
        emit()
        show_bars(reached)
    write_figures(options, "training_speed", {"figures": figures, "bars": plain_bars(reached)})
    return 0 if all(bar.is_reached for bar in reached) else 1


if __name__ == "__main__":
    sys.exit(main())
