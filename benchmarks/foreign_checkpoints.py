"""What becomes of a run folder that somebody changed: byte by byte, part by part, and with commands in it.

    python -m benchmarks.foreign_checkpoints --run runs/demo --changes 600 --resume

Each change is tried in a process of its own, which may die: the voice is loaded as export_onnx.py does, and with
`--resume` the run goes on by one step as with train.py resume=last. Counted are: handled in one line; same: accepted,
and the voice is equal number by number; other: accepted, and another voice; traceback; crash; hang (30 s). For a
changed byte "other" is a fault. A changed part may be another voice by right: another figure is another figure.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.options import BenchmarkParser, write_figures
from utils.command_line import run_program, whole_number
from utils.config import from_yaml, to_yaml
from utils.config.train import TrainJob
from utils.console import emit, table
from utils.errors import WorkbenchError
from utils.memory import limit_this_process
from utils.training.checkpoints import TrainedVoice, load_voice
from utils.training.fit import train

OURS = "voclo_trainer"
SECONDS, MOST_BYTES = 30, 24 * 2**30
OUTCOMES = {0: "same", 10: "handled", 11: "other", 12: "traceback", 13: "several lines", 14: "command ran"}
NOT_MADE = 20
HEADS = ("handled", "same", "other", "traceback", "crash", "hang", "command ran", "several lines")
WRONG: tuple[Any, ...] = (
    None, 3, -1, 2.5, float("nan"), 10**30, True, "", "x", "../../x", "a\nb", [], [1], {}, {"x": 1}, [[[[1]]]],
    "${oc.env:HOME}",
)  # fmt: skip
KINDS = ("bytes", "parts", "codebook", "commands")
Change = Callable[[Path], object]
Check = Callable[[Path], int]


def byte_changes(file: str, rng: random.Random, count: int) -> Iterator[Change]:
    """Yield changes of one byte of a file; of an archive, half of them in its directory."""

    def change(run: Path, place: float, value: int, is_late: bool) -> None:
        path = run / file
        data = bytearray(path.read_bytes())
        begin = data.find(b"PK\x01\x02") if is_late else 0
        data[begin + int(place * (len(data) - begin))] ^= value
        path.write_bytes(data)

    for index in range(count):
        place, value, is_late = rng.random(), rng.randrange(1, 256), bool(index % 2) and file.endswith(".ckpt")
        yield partial(change, place=place, value=value, is_late=is_late)


def part_changes(rng: random.Random, count: int) -> Iterator[Change]:
    """Yield changes of a part of a checkpoint: taken away, or with a value of another kind in its place."""
    for _ in range(count):
        seed = rng.randrange(2**32)
        yield partial(rewrite, change=partial(change_part, seed=seed))


def change_part(content: Any, seed: int) -> None:
    """Change one part; sections are gone down into, so that each level is as likely as another."""
    rng = random.Random(seed)
    often = [OURS] * 3 * len(content) if OURS in content else []  # what is read in every use
    node, key = content, rng.choice([*often, *content])
    while rng.random() < 0.8:
        inner = node[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        node, key = inner, rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
    value = node[key]
    if key == "config" and isinstance(value, str) and rng.random() < 0.8:
        config = from_yaml(value)
        change_part(config, rng.randrange(2**32))
        node[key] = to_yaml(config) if rng.random() < 0.9 else value[: rng.randrange(len(value))]
    elif rng.random() < 0.3:
        del node[key]
    elif isinstance(value, torch.Tensor) and rng.random() < 0.7:
        node[key] = rng.choice(
            [value.reshape(-1)[:3], value.double() * float("nan"), value.to(torch.int8), value[None]]
        )
    else:
        node[key] = rng.choice(WRONG)


def hostile_changes(marker: Path) -> Iterator[Change]:
    """Yield a change for each place where a checkpoint can name a command or an interpolation."""
    command = {"_target_": "torch.utils.collect_env.run", "command": f"touch {marker}"}
    reached = {"_target_": "models.lite.torch.utils.collect_env.run", "command": f"touch {marker}"}
    leak = f"${{oc.create:{marker}}}"
    for node in (command, reached, leak):
        for section in (
            "model",
            "optim.optimizer",
            "optim.schedule",
            "discriminator",
            "augmentation",
            "logger",
            "audio",
        ):
            yield partial(in_config, section=section, value=node)
            yield partial(in_config, section=f"{section}.x", value=[{"y": node}])
        for feature in ("content", "f0_hz"):
            yield partial(in_feature, feature=feature, name=None, value=node)
            yield partial(in_feature, feature=feature, name="x", value=node)
            nested = {"_target_": "utils.features.pitch.filling.FilledPitch", "tracker": node}
            yield partial(in_feature, feature=feature, name=None, value=nested)


def in_config(run: Path, section: str, value: Any) -> None:
    """Put a value into the configuration of both checkpoints and config.yaml."""

    def change(content: dict[str, Any]) -> None:
        config = from_yaml(content[OURS]["config"])
        *way, last = section.split(".")
        node = config
        for name in way:
            node[name] = node[name] if isinstance(node.get(name), dict) else {}
            node = node[name]
        node[last] = value
        content[OURS]["config"] = to_yaml(config)
        (run / "config.yaml").write_text(to_yaml(config), encoding="utf-8")

    rewrite(run, change)


def in_feature(run: Path, feature: str, name: str | None, value: Any) -> None:
    """Put a value into what a dataset's description says of a feature's encoder or tracker."""

    def change(content: dict[str, Any]) -> None:
        described = content[OURS]["dataset"]["features"][feature]
        described["config"] = value if name is None else {**described["config"], name: value}

    rewrite(run, change)


def rewrite(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the content of the checkpoints of a run."""
    for name in ("best", "last"):
        path = run / "checkpoints" / f"{name}.ckpt"
        if path.is_file():
            content = torch.load(path, weights_only=True)
            change(content)
            torch.save(content, path)


def is_same(ours: TrainedVoice, theirs: TrainedVoice) -> bool:
    """Whether two voices are equal: weights, codebook, encoder and tracker, and all that is said of them."""
    pairs = zip(tensors(ours), tensors(theirs), strict=False)
    alike = len(list(tensors(ours))) == len(list(tensors(theirs)))
    same_words = (ours.config, ours.speakers, ours.step, ours.metrics) == (
        theirs.config, theirs.speakers, theirs.step, theirs.metrics,
    )  # fmt: skip
    return alike and same_words and all(torch.equal(one, other) for one, other in pairs)


def tensors(voice: TrainedVoice) -> Iterator[torch.Tensor]:
    """Yield everything that a voice computes with."""
    yield from voice.converter.state_dict().values()


def exported(run: Path, expected: TrainedVoice) -> int:
    """Load a changed run's voice; return a number of OUTCOMES."""
    return 0 if is_same(load_voice(run, "last"), expected) else 11


def resumed(run: Path, job: TrainJob) -> int:
    """Let a changed run go on, with the settings that the user has, not those of the folder."""
    train(job.with_values({"resume": "last", "run.root": str(run.parent), "run.name": run.name}))
    return 0


def tried(run: Path, change: Change, check: Check, marker: Path) -> str:
    """Return what becomes of a changed copy of a run, in a process of its own; empty where the change is none."""
    child = os.fork()
    if child == 0:
        limit_this_process(MOST_BYTES)
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(null, stream)
        code = 12
        try:
            code = outcome(run, change, check)
        finally:
            os._exit(14 if marker.exists() else code)
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "crash" if os.WIFSIGNALED(status) else OUTCOMES.get(os.WEXITSTATUS(status), "")
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hang"


def outcome(run: Path, change: Change, check: Check) -> int:
    """Change a copy of a run, use it, and return a number of OUTCOMES."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(run, Path(folder) / run.name))
        try:
            change(copy)
        except (TypeError, ValueError, RuntimeError, LookupError, AttributeError):  # a value that cannot be stored
            return NOT_MADE
        try:
            return check(copy)
        except WorkbenchError as error:
            return 13 if "\n" in str(error) else 10
        except OSError as error:  # the scripts make one line of what the system says of a file
            return 10 if error.filename else 12


def kinds_of(changes: int, seed: int, marker: Path) -> Iterator[tuple[str, list[Change]]]:
    """Yield names and changes, the same for a seed."""
    rng = random.Random(seed)
    yield "bytes", list(byte_changes("checkpoints/last.ckpt", rng, changes))
    yield "parts", list(part_changes(rng, changes))
    yield "codebook", list(byte_changes("codebook.safetensors", rng, changes // 2))
    yield "commands", list(hostile_changes(marker))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("foreign_checkpoints", __doc__)
    parser.add_argument("--run", type=Path, required=True, help="a trained run, which stays as it is")
    parser.add_argument(
        "--changes", type=whole_number, default=600, help="bytes and parts; half as many of the codebook"
    )
    parser.add_argument("--resume", action="store_true", help="let the run go on, too: it needs its dataset")
    parser.add_argument("--only", choices=KINDS, nargs="+", default=KINDS, help="kinds of changes")
    parser.add_argument("--seed", type=int, default=0, help="of what is changed")
    parser.add_json()
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> int:
    """Try all changes and show what became of them."""
    expected, marker = load_voice(options.run, "last"), Path(tempfile.mkdtemp()) / "was_run"
    plain = from_yaml((options.run / "config.yaml").read_text(encoding="utf-8"))
    job = TrainJob.from_plain(plain).with_values({"trainer.steps": expected.step + 1, "trainer.progress_bar": False})
    checks: dict[str, Check] = {"export": partial(exported, expected=expected)}
    if options.resume:
        checks["resume"] = partial(resumed, job=job)
    counts: dict[str, Counter[str]] = {}
    for name, changes in kinds_of(options.changes, options.seed, marker):
        for way, check in checks.items() if name in options.only else ():
            found = counts.setdefault(f"{name}, {way}", Counter())
            for change in changes:
                marker.unlink(missing_ok=True)
                found[tried(options.run, change, check, marker)] += 1
            emit(f"{name}, {way}: {dict(found)}")
    rows = [[name, sum(found.values()) - found[""], *(found[head] for head in HEADS)] for name, found in counts.items()]
    emit(table(rows, ["", "tried", *HEADS]))
    write_figures(options, "foreign_checkpoints", {name: dict(found) for name, found in counts.items()})
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("foreign_checkpoints", lambda: measure(options))


if __name__ == "__main__":
    sys.exit(main())
