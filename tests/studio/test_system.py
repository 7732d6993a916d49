"""What the studio says of the machine."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from studio import doctor, system
from studio.jobs import JobQueue
from studio.system import DiskWatch, Hardware, SystemState, consequences, proposed_batch, warnings_of
from studio.workspace import Workspace
from tests.tools.studio_tools import ended, made_queue
from utils.training import hardware
from utils.training.hardware import found_hardware

GB = 10**9
GPU: dict[str, Any] = {"device": "cuda:0", "name": "T4", "memory_bytes": 16 * GB, "free_bytes": 15 * GB, "bf16": False}
PLENTY = SystemState(
    hardware=None, memory_total=16 * GB, memory_available=8 * GB, disk_total=100 * GB, disk_free=50 * GB,
    largest_state=0, processor_percent=3.0, at=0.0,
)  # fmt: skip


def test_what_pytorch_finds_is_what_a_training_chooses() -> None:
    found = found_hardware()

    assert found.device in ("cpu", "cuda", "mps")
    assert found.precision in ("32-true", "bf16-mixed", "16-mixed")
    assert (found.device == "cpu") == (not found.gpus)
    assert (found.precision == "bf16-mixed") == (found.gpus[0].bf16 if found.gpus else found.cpu_bf16)


def test_a_card_without_a_driver_is_a_problem_and_no_card_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "PCI", tmp_path)
    monkeypatch.setattr(hardware.shutil, "which", lambda name: None)
    monkeypatch.setattr(hardware.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(hardware.torch.version, "cuda", "13.0")
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "vendor").write_text("0x8086\n", "ascii")
    assert hardware._cuda_problem() == ""

    (tmp_path / "0" / "vendor").write_text("0x10de\n", "ascii")

    assert hardware._cuda_problem() != ""


def answer(monkeypatch: pytest.MonkeyPatch, stdout: str, stderr: str = "") -> Hardware:
    done = subprocess.CompletedProcess([], 0, stdout, stderr)
    monkeypatch.setattr(system.subprocess, "run", lambda *_, **__: done)
    return system.read_hardware()


def test_the_answer_of_the_other_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"torch": "2.11", "cpu_bf16": True, "device": "cuda", "precision": "16-mixed", "num_workers": 1}

    found = answer(monkeypatch, "a warning\n" + json.dumps({**content, "gpus": [GPU], "cuda_problem": "old driver"}))

    assert found.devices == ("cuda:0", "cpu")
    assert found.problem == "no GPU is used: old driver"
    assert "trains on T4" in consequences(found)[0]
    assert "T4 does not compute bf16 itself" in consequences(found)[1]


@pytest.mark.parametrize("stdout", ["", "no JSON", "[]", "{}"])
def test_a_pytorch_that_does_not_work_is_one_line(monkeypatch: pytest.MonkeyPatch, stdout: str) -> None:
    found = answer(monkeypatch, stdout, "Traceback\nImportError: libcudart.so\n")

    assert "PyTorch cannot be used here: ImportError: libcudart.so" in found.problem
    assert found.devices == ("cpu",) and consequences(found) == []
    assert warnings_of(dataclasses.replace(PLENTY, hardware=found)) == [found.problem]


def test_a_disk_is_spoken_of_before_it_is_full() -> None:
    assert warnings_of(PLENTY) == []
    assert "soon" in warnings_of(dataclasses.replace(PLENTY, disk_free=9 * GB))[0]
    assert "may need 2.0 GB" in warnings_of(dataclasses.replace(PLENTY, disk_free=1 * GB))[0]
    # four states of the largest training must fit
    assert "may need 12.0 GB" in warnings_of(dataclasses.replace(PLENTY, disk_free=11 * GB, largest_state=3 * GB))[0]
    assert "memory" in warnings_of(dataclasses.replace(PLENTY, memory_available=1 * GB))[0]


def test_a_disk_that_fills_is_forecast() -> None:
    watch = DiskWatch()
    for minute in range(11):
        watch.add(dataclasses.replace(PLENTY, at=60.0 * minute, disk_free=50 * GB - minute * GB))

    assert watch.seconds_left() == pytest.approx(40 * 60)  # 40 GB are left, 1 GB goes each minute
    assert "40 minutes" in watch.warnings()[0]


def test_a_disk_that_does_not_fill_is_not_forecast() -> None:
    watch = DiskWatch()
    assert watch.seconds_left() is None
    for moment in (0.0, 60.0, 180.0):
        watch.add(dataclasses.replace(PLENTY, at=moment))

    assert watch.seconds_left() is None and watch.warnings() == []
    watch.add(dataclasses.replace(PLENTY, at=5000.0))
    assert len(watch.seen) == 1  # what is long ago says nothing of now


def test_the_batch_is_that_of_the_latest_probe(tmp_path: Path) -> None:
    queue = made_queue(tmp_path)
    line = "proposed (cpu with 8000 MB): optim.accumulate=2; an update stays 12 clips"
    assert proposed_batch(queue) is None

    ended(queue, queue.submit([*system.probe_command("alice"), f"say={line}"]))
    ended(queue, queue.submit(["train.py", f"say={line.replace('=2', '=9')}"]))  # no probe

    found = proposed_batch(queue)
    assert found is not None and found[1] == "optim.accumulate=2; an update stays 12 clips"


def test_the_report_holds_no_secret_and_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "read_hardware", lambda: Hardware(torch="2.11 of /home/maria", device="cpu"))
    monkeypatch.setattr(doctor.Path, "home", lambda: Path("/home/maria"))
    monkeypatch.setenv("HF_TOKEN", "2.11 of")
    (tmp_path / "runs" / "alice").mkdir(parents=True)
    state = SystemState.now(tmp_path, doctor.read_hardware())

    text = doctor.doctor_text(tmp_path, state)

    assert "maria" not in text and "2.11 of" not in text
    assert "runs: 1" in text and "exports: 0" in text
    assert "GB free of" in text and "trainer.probe=true" in text


def test_reading_the_report_starts_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(JobQueue, "_ensure_worker", lambda self, device: started.append(device))
    JobQueue(tmp_path / ".studio" / "jobs", work=tmp_path).submit(["train.py"])

    doctor.doctor_text(tmp_path, PLENTY)

    assert started == ["cpu"]  # by the one who asked for the job


@pytest.mark.parametrize("arguments", [["no such folder"], ["a", "b"]])
def test_a_wrong_argument_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_the_console_prints_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "studio.doctor", str(tmp_path)],
        cwd=system.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode in (0, 1) and not done.stderr
    assert "trainer.precision=auto is" in done.stdout


@pytest.mark.parametrize(("wanted", "given"), [(None, "cuda:0"), ("cpu", "cpu"), ("cuda:1", "cuda:0")])
def test_the_device_that_was_chosen_is_chosen_after_a_restart_while_it_is_there(
    tmp_path: Path, wanted: str | None, given: str
) -> None:
    workspace = Workspace(tmp_path, lambda: wanted)

    workspace.find_device(Hardware(gpus=({"device": "cuda:0"},)))

    assert workspace.device == given
