"""Time RVC v2 48k: training steps, generator inference, and the same of the public code beside it.

    python -m benchmarks.rvc_speed --public <folder of RVC-Project/Retrieval-based-Voice-Conversion-WebUI>

Each side runs in a process of its own; in every round each does one step, in turn, and medians of the rounds are
compared; processor seconds beside them say what a busy machine hides. Without the folder (or RVC_PUBLIC=<folder>) ours
is timed alone. About ten minutes at full size on two idle cores.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

from benchmarks.machine import describe_machine
from benchmarks.options import BenchmarkParser, write_figures
from benchmarks.rvc_speed_worker import Worker
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.errors import ConfigError

PUBLIC_VARIABLE = "RVC_PUBLIC"
PUBLIC_FILES = ("infer/module/models.py", "train/losses.py", "train/mel_processing.py", "configs/v2/48k.json")
# at least so many times the public code's speed
WANTED = {"training fp32": 1.3, "training bf16": 2.2, "inference": 1.5}
CURVE_STEP = 5  # the curve is printed at every so many steps
Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("rvc_speed", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Measure part by part and print the tables; return the exit code."""
    machine = describe_machine()
    report: Result = {"machine": machine, "settings": {k: str(v) for k, v in vars(options).items()}, "parts": {}}
    emit(f"machine: {machine}; {options.threads} threads")
    public = public_folder(options.public)
    emit(f"public code: {public or f'not given (--public or {PUBLIC_VARIABLE}); ours alone'}")
    parts: dict[str, Any] = {
        "training": training, "curve": curve, "inference": inference, "prior": prior, "gpu": gpu,
    }  # fmt: skip
    for name in options.parts:
        report["parts"][name] = parts[name](options, public)
        write_figures(options, "rvc_speed", report)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("rvc_speed", __doc__)
    parser.add_argument("--public", type=Path, help=f"checkout of the public code; else the variable {PUBLIC_VARIABLE}")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda measures the part gpu alone")
    parser.add_argument("--parts", nargs="+", choices=("training", "curve", "inference", "prior"), default=None)
    parser.add_argument("--threads", type=whole_number, default=2, help="of each side")
    parser.add_argument("--batch", type=whole_number, default=4, help="clips of a training step")
    parser.add_argument("--frames", type=int, default=300, help="frames of a clip")
    parser.add_argument("--repetitions", type=whole_number, default=5, help="rounds whose median counts")
    parser.add_argument("--curve-steps", type=whole_number, default=50, help="of the part curve")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the audio that is converted")
    parser.add_argument("--prior-minutes", type=float, default=2.0, help="for the memory of the prior on long audio")
    parser.add_argument("--seed", type=int, default=0, help="of weights, inputs and random numbers")
    parser.add_json()
    options = parser.parse_args(arguments)
    if options.frames < 60:
        parser.error("--frames must be at least 60")
    options.parts = (
        ["gpu"] if options.device == "cuda" else options.parts or ["training", "curve", "inference", "prior"]
    )
    options.logs = Path(mkdtemp(prefix="rvc_speed_"))
    return options


def public_folder(given: Path | None) -> Path | None:
    """Return the public code's folder, or None if none is given.

    Raises:
        ConfigError: if it does not hold what is run.
    """
    folder = given or (Path(os.environ[PUBLIC_VARIABLE]) if os.environ.get(PUBLIC_VARIABLE) else None)
    if folder is None:
        return None
    lacking = [name for name in PUBLIC_FILES if not (folder / name).is_file()]
    if lacking:
        raise ConfigError(
            f"{folder} is no checkout of RVC-Project/Retrieval-based-Voice-Conversion-WebUI of 2026-07 or later: "
            f"{lacking[0]} is missing; give its folder with --public"
        )
    return folder


class Sides:
    """The processes of a part: "ours fp32", "ours bf16" and, where it is given, "public"."""

    def __init__(
        self,
        options: argparse.Namespace,
        public: Path | None,
        precisions: Sequence[str],
        *,
        public_side: str = "benchmarks.rvc_speed_public",
        experiment: str = "rvc_v2_48k",
    ) -> None:
        common = [f"--device={options.device}", f"--threads={options.threads}", f"--seed={options.seed}"]
        self.workers: dict[str, Worker] = {}
        if public is not None:
            self._start(options, "public", public_side, [f"--folder={public.resolve()}", *common])
        for precision in precisions:
            name = f"ours {precision}"
            own = [f"--precision={precision}", f"--experiment={experiment}"]
            self._start(options, name, "benchmarks.rvc_speed_ours", [*own, *common])

    def _start(self, options: argparse.Namespace, name: str, module: str, arguments: list[str]) -> None:
        log = options.logs / f"{name.replace(' ', '_')}.log"
        self.workers[name] = Worker(module, arguments, threads=options.threads, log=log)

    def ask(self, call: str, **values: Any) -> dict[str, Result]:
        """Ask each in turn."""
        return {name: worker.ask(call, **values) for name, worker in self.workers.items()}

    def rounds(self, call: str, count: int) -> dict[str, Result]:
        """Do one round to warm up and `count` that are timed; return the last answers with medians of seconds."""
        self.ask(call)
        answers = [self.ask(call) for _ in range(count)]
        last = answers[-1]
        for name, answer in last.items():
            answer["all_seconds"] = [each[name]["seconds"] for each in answers]
            for key in ("seconds", "cpu_seconds"):
                answer[key] = statistics.median(each[name][key] for each in answers)
        return last

    def __enter__(self) -> "Sides":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.close()


def training(options: argparse.Namespace, public: Path | None) -> Result:
    """Time training steps."""
    with Sides(options, public, ("fp32", "bf16")) as sides:
        sides.ask("prepare", batch=options.batch, frames=options.frames)
        found = sides.rounds("step", options.repetitions)
    emit(f"\ntraining step, v2 48k, batch {options.batch}, {options.frames} frames; {options.repetitions} rounds")
    show(found, {"ours fp32": WANTED["training fp32"], "ours bf16": WANTED["training bf16"]})
    return found


def curve(options: argparse.Namespace, public: Path | None) -> Result:
    """Train in both precisions on one batch from the same weights with the same random numbers."""
    with Sides(options, None, ("fp32", "bf16")) as sides:
        sides.ask("prepare", batch=options.batch, frames=options.frames)
        steps = [sides.ask("step") for _ in range(options.curve_steps)]
    names = list(steps[0])
    metrics = ("generator/spectral", "generator/kl", "generator/feature_matching", "discriminator/total")
    found = {name: {metric: [step[name]["metrics"][metric] for step in steps] for metric in metrics} for name in names}
    shown = sorted({*range(0, options.curve_steps, CURVE_STEP), options.curve_steps - 1})
    rows = [[number + 1, *(found[name][metric][number] for metric in metrics for name in names)] for number in shown]
    headers = [f"{metric.split('/')[1]} {name.split()[1]}" for metric in metrics for name in names]
    emit(f"\nloss of {options.curve_steps} steps, batch {options.batch}, fp32 beside bf16-mixed")
    emit(table(rows, ["step", *headers]))
    one, other = (found[name]["generator/spectral"] for name in names)
    apart = max(abs(a - b) / a for a, b in zip(one, other, strict=True))
    emit(f"log-mel distance: largest difference {100 * apart:.1f} % of fp32's")
    return {**found, "largest_relative_difference": apart}


def inference(options: argparse.Namespace, public: Path | None) -> Result:
    """Time the exported graph beside the public code in torch."""
    frames = round(100 * options.seconds)
    with Sides(options, public, ("fp32",)) as sides:
        sides.ask("prepare_conversion", frames=frames)
        found = sides.rounds("convert", options.repetitions)
    found = {name.replace("ours fp32", "ours, ONNX"): answer for name, answer in found.items()}
    emit(f"\ngenerator inference, {options.seconds:g} s of audio; {options.repetitions} rounds")
    for answer in found.values():
        answer["real_time_factor"] = answer["seconds"] / options.seconds
    show(found, {"ours, ONNX": WANTED["inference"]})
    return found


def prior(options: argparse.Namespace, public: Path | None) -> Result:
    """Measure what the prior's attention over long audio takes."""
    frames = round(6000 * options.prior_minutes)
    with Sides(options, None, ("fp32",)) as sides:
        found = sides.ask("prior", frames=frames)["ours fp32"]
    table_mib = 2 * 4 * frames**2 / 2**20
    emit(
        f"\nprior over {options.prior_minutes:g} minutes: {found['seconds']:.1f} s, {found['more_mib']:.0f} MiB; "
        f"one whole table of attention would take {table_mib:.0f} MiB"
    )
    return found


def gpu(options: argparse.Namespace, public: Path | None) -> Result:
    """Time training on a GPU at two batch sizes, and compare gradients with and without cuDNN."""
    if not torch.cuda.is_available():
        emit("\n[GPU] training at batch 8 and 32, gradients with and without cuDNN: not measured, no CUDA device here")
        return {"measured": False}
    found: Result = {"measured": True, "device": torch.cuda.get_device_name()}
    emit(f"GPU: {found['device']}")
    for batch in (8, 32):
        with ExitStack() as stack:
            sides = stack.enter_context(Sides(options, public, ("fp32", "bf16")))
            sides.ask("prepare", batch=batch, frames=options.frames)
            found[f"batch {batch}"] = sides.rounds("step", options.repetitions)
            agreement = {name: worker.ask("gradient_agreement") for name, worker in sides.workers.items()
                         if name != "public"}  # fmt: skip
        emit(f"\ntraining step, v2 48k, batch {batch}, {options.frames} frames")
        show(found[f"batch {batch}"], {})
        found[f"gradients at batch {batch}"] = agreement
        rows = [[name, each["median"], each["worst"], each["parameter"]] for name, each in agreement.items()]
        emit(table(rows, ["gradients, cuDNN on against off", "median", "worst", "of parameter"]))
    return found


def show(found: dict[str, Result], wanted: dict[str, float]) -> None:
    """Print a table of seconds, speed relative to the public code, and peak memory."""
    base = found.get("public")
    rows = []
    for name, answer in found.items():
        low, high = min(answer["all_seconds"]), max(answer["all_seconds"])
        row = [name, answer["seconds"], f"{low:.2f} to {high:.2f}", answer["cpu_seconds"]]
        row += [f"{base[key] / answer[key]:.2f}" if base else "not measured" for key in ("seconds", "cpu_seconds")]
        rows.append([*row, f"{wanted[name]:g}" if name in wanted else "", round(answer["peak_mib"])])
    headers = ["", "median s", "range", "processor s", "times public", "by processor s", "wanted", "peak MiB"]
    emit(table(rows, headers))


if __name__ == "__main__":
    sys.exit(main())
