"""Try the cluster's half of the workbench on a real SLURM of one node. Needs root on Debian; no part of `make test`.

    python -m scripts.slurm_trial --install

An array of preprocessing shards and their merge; a training that is pre-empted twice (by a signal as before the end of
its time, and by `scontrol requeue`) beside one that is not; a sweep through hydra/launcher=slurm. Prints a table and
writes slurm_trial.json; ends with 1 when something does not hold.
"""

import argparse
import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from scripts.pipeline import MARKER, ROOT, empty_folder
from scripts.slurm_cluster import answer, job_field, require_debian, running_cluster, submit, wait_for, wait_for_end
from utils.audio.io import save_audio
from utils.audio.synthetic_speech import voice
from utils.command_line import first_line, run_program, whole_number
from utils.console import emit, table
from utils.errors import WorkbenchError
from utils.files import atomic_write_json

SHARDS = 3
PARTS = ("preprocess", "train", "sweep")
# a network and batches that train many steps a second
SMALL = [
    "audio=16k", "model=toy", "discriminator.windows=[128,256]", "discriminator.channels=2", "data.batch_size=2",
    "data.segment_frames=30", "data.val_segment_frames=60", "retrieval.codebook_size=16", "optim.warmup_steps=1",
    "trainer.precision=32-true", "trainer.accelerator=cpu", "trainer.progress_bar=false", "trainer.media=false",
]  # fmt: skip
log = logging.getLogger(__name__)


@dataclass
class Finding:
    """What was tried and how it went."""

    name: str
    holds: bool
    detail: str


class Trial:
    """The commands of the trial.

    Args:
        work: folder for everything.
        steps: of each training.
        limit: seconds that a job may take.
    """

    def __init__(self, work: Path, steps: int, limit: float) -> None:
        self.work, self.steps, self.limit = work, steps, limit
        self.findings: list[Finding] = []

    def note(self, name: str, holds: bool, detail: str) -> None:
        """Enter a finding."""
        log.info("%s: %s (%s)", name, "holds" if holds else "DOES NOT HOLD", detail)
        self.findings.append(Finding(name, holds, detail))

    def preprocess(self) -> None:
        """Prepare a dataset at once and in an array of shards, and compare the two."""
        for speaker, f0_hz in (("anna", 190.0), ("bert", 110.0)):
            for index in range(4):
                sound = voice(1.2 + index / 5, seed=index, f0_hz=f0_hz)
                save_audio(self.work / "source" / speaker / f"{index}.wav", sound, 16000)
        words = [f"dataset.source={self.work / 'source'}", "audio=16k", "content=toy", "preprocess.num_workers=1"]
        whole = [f"dataset.root={self.work / 'whole'}", "dataset.name=tiny"]
        shards = [f"dataset.root={self.work / 'datasets'}", "dataset.name=tiny"]
        script = str(ROOT / "docs" / "slurm" / "preprocess.sbatch")
        log_file = f"--output={self.work}/logs/%x-%A_%a.log"
        alone = submit(log_file, script, *words, *whole, cwd=ROOT)
        array = submit(log_file, f"--array=1-{SHARDS}", script, *words, *shards, cwd=ROOT)
        merge = [f"dataset.merge={SHARDS}"]
        merged = submit(log_file, f"--dependency=afterok:{array}", script, *words, *shards, *merge, cwd=ROOT)
        states = [wait_for_end(job, self.limit) for job in (alone, array, merged)]
        self.note("array of shards, then the merge", states == ["COMPLETED"] * 3, ", ".join(states))
        left, right = (contents(self.work / name / "tiny") for name in ("whole", "datasets"))
        different = sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
        self.note(
            "merged dataset equals the one made at once", not different, f"{len(left)} files, {different or 'same'}"
        )

    def words(self, name: str) -> list[str]:
        """Return the command line of a training."""
        paths = ["dataset.name=tiny", f"dataset.root={self.work / 'datasets'}", f"run.root={self.work / 'runs'}"]
        lengths = [f"trainer.steps={self.steps}", f"trainer.validate_every={max(1, self.steps // 10)}"]
        return [*paths, f"run.name={name}", *SMALL, *lengths]

    def train(self) -> None:
        """Train undisturbed and pre-empted, and compare the weights."""
        script = str(ROOT / "docs" / "slurm" / "train.sbatch")
        output = f"--output={self.work}/logs/%x-%j.log"
        calm = submit(output, "--job-name=calm", script, *self.words("calm"), cwd=ROOT)
        job = submit(output, "--job-name=moved", script, *self.words("moved"), cwd=ROOT)
        last = self.work / "runs" / "moved" / "checkpoints" / "last.ckpt"
        wait_for(last.is_file, self.limit, f"no {last}")
        answer("scancel", "--signal=USR1", job)
        self._wait_for_restart(job, 1, "signal USR1 saves and queues the run again")
        saved = steps_of(last)
        wait_for(lambda: steps_of(last) > saved or job_field(job, "JobState") == "COMPLETED", self.limit, "no progress")
        answer("scontrol", "requeue", job)
        self._wait_for_restart(job, 2, "scontrol requeue restarts the run")
        state = wait_for_end(job, self.limit)
        calm_state = wait_for_end(calm, self.limit)
        self.note("run left alone ends", calm_state == "COMPLETED", f"{calm_state}, exit {job_field(calm, 'ExitCode')}")
        self.note("pre-empted run ends", state == "COMPLETED", f"{state}, restarts {job_field(job, 'Restarts')}")
        self._compare("calm", "moved")

    def _wait_for_restart(self, job: str, number: int, name: str) -> None:
        try:
            wait_for(lambda: int(job_field(job, "Restarts") or 0) >= number, self.limit, "not restarted")
            wait_for(lambda: job_field(job, "JobState") != "COMPLETING", self.limit, "does not end")
            self.note(name, True, f"restarts {job_field(job, 'Restarts')}")
        except WorkbenchError as error:
            self.note(name, False, f"{error}; {job_field(job, 'JobState')}, exit code {job_field(job, 'ExitCode')}")

    def _compare(self, left: str, right: str) -> None:
        weights = [state_of(self.work / "runs" / name / "checkpoints" / "last.ckpt") for name in (left, right)]
        steps = [int(state["steps_done"]) for state in weights]
        self.note("both have made all steps", steps == [self.steps] * 2, f"{steps[0]} and {steps[1]} of {self.steps}")
        names = [name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])]
        largest = max((float((weights[0][name] - weights[1][name]).abs().max()) for name in names), default=0.0)
        detail = f"{len(names)} of {len(weights[0])} tensors differ, by at most {largest:.3g}"
        self.note("pre-empted run's weights are bit-identical", not names, detail)

    def sweep(self) -> None:
        """Train two seeds through hydra/launcher=slurm."""
        command = [sys.executable, "train.py", "-m", *self.words("swept"), "trainer.steps=4", "resume=auto", "seed=1,2"]
        command += ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=10"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=self.limit, check=False)
        (self.work / "logs" / "sweep.log").write_text(done.stdout + done.stderr)
        runs = sorted(path.parent.name for path in (self.work / "runs").glob("swept_*/metrics.json"))
        detail = f"exit code {done.returncode}: {', '.join(runs)}"
        self.note("hydra/launcher=slurm", done.returncode == 0 and len(runs) == 2, detail)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a dataset but its cache and the report with its times."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("report.json", ".lock")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if "cache" not in path.parts}


def state_of(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a checkpoint."""
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return {name: torch.as_tensor(value) for name, value in state.items()}


def steps_of(path: Path) -> int:
    """Return how many steps a checkpoint has; -1 while it cannot be read."""
    try:
        return int(state_of(path)["steps_done"])
    except (OSError, RuntimeError, EOFError, KeyError):
        return -1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.slurm_trial", description=first_line(__doc__))
    parser.add_argument("--work", type=Path, default=ROOT / "slurm_trial", help="folder; emptied before the first part")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="the later ones need the first's dataset"
    )
    parser.add_argument("--install", action="store_true", help="apt-get install what is absent")
    parser.add_argument("--steps", type=whole_number, default=400, help="of each training")
    parser.add_argument("--limit", type=float, default=600, help="seconds that a job may take")
    options = parser.parse_args(arguments)
    return run_program("slurm trial", lambda: run_trial(options, options.work.resolve()))


def run_trial(options: argparse.Namespace, work: Path) -> int:
    """Run the parts on a cluster of this machine; print what holds and return the exit code.

    Raises:
        WorkbenchError: if SLURM or hydra's launcher for it is absent.
    """
    require_debian(install=options.install)
    if "sweep" in options.parts and importlib.util.find_spec("submitit") is None:
        raise WorkbenchError(
            "hydra-submitit-launcher is not installed; pip install it, or leave the sweep out: --parts preprocess train"
        )
    if "preprocess" in options.parts:
        empty_folder(work)
    for name in ("runs", "cluster"):
        empty_folder(work / name, is_ours=(work / MARKER).is_file())
    (work / "logs").mkdir(parents=True, exist_ok=True)
    trial = Trial(work, options.steps, options.limit)
    # the jobs inherit the interpreter
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with running_cluster(work / "cluster"):
        for part in options.parts:
            getattr(trial, part)()
    rows = [["yes" if item.holds else "NO", item.name, item.detail] for item in trial.findings]
    emit(table(rows, ["holds", "what", "found"]))
    atomic_write_json(work / "slurm_trial.json", [vars(item) for item in trial.findings])
    emit(f"logs of the jobs: {work / 'logs'}; of the cluster: {work / 'cluster' / 'log'}")
    return 0 if all(item.holds for item in trial.findings) else 1


if __name__ == "__main__":
    sys.exit(main())
