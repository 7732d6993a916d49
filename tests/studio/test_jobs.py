"""The queue of the studio: order, ends, signals, what survives, full disks."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import studio.jobs
import studio.worker
from studio.jobs import ENDED, JobQueue
from tests.tools.studio_tools import ended, made_queue, wait_for
from utils.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]
unix = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals that a process could hear")


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    made = made_queue(tmp_path)
    yield made
    for job in made.jobs():
        made.cancel(job.id, now=True)
    wait_for(lambda: all(job.has_ended for job in made.jobs()))


def started(queue: JobQueue, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((queue.folder / name / "started.json").read_text("utf-8"))
    return found


def moment(folder: Path, name: str) -> float:
    return float((folder / name).read_text("utf-8"))


def test_jobs_of_a_device_run_one_after_the_other_and_keep_log_and_code(queue: JobQueue, tmp_path: Path) -> None:
    first = queue.submit(["train.py", "run.name=first"], title="  my\n voice ")
    second = queue.submit(["preprocess.py", "run.name=second", "code=2", "say=error: no such folder"])

    failed = ended(queue, second)

    assert moment(tmp_path, "first.done") <= moment(tmp_path, "second.begun")
    assert (queue.job(first.id).state, queue.job(first.id).title) == ("done", "my voice")
    assert (failed.state, failed.exit_code, failed.title) == ("failed", 2, "preprocess")
    assert queue.log(second.id) == "error: no such folder\n"
    assert [job.id for job in queue.jobs()] == [first.id, second.id]


def test_another_device_does_not_wait(queue: JobQueue, tmp_path: Path) -> None:
    waiting = queue.submit(["train.py", "run.name=a", "until=go"], device="cuda:0")

    ended(queue, queue.submit(["train.py", "run.name=b"], device="cpu"))

    assert not queue.job(waiting.id).has_ended  # its worker may begin later than the other
    (tmp_path / "go").touch()
    assert ended(queue, waiting).state == "done"


@unix
def test_a_cancelled_training_hears_sigterm_saves_and_can_go_on(queue: JobQueue, tmp_path: Path) -> None:
    job = queue.submit(["train.py", "run.name=a", "until=never", "run.replace=true"], title="mine")
    wait_for((tmp_path / "a.begun").exists)

    queue.cancel(job.id)

    assert ended(queue, job).state == "stopped"
    assert (tmp_path / "a.saved").exists()
    (tmp_path / "never").touch()
    again = queue.resume(job.id)
    assert again.arguments == ("train.py", "run.name=a", "until=never", "resume=auto")
    assert again.title == "mine"
    assert ended(queue, again).state == "done"
    with pytest.raises(ConfigError, match="ended early"):
        queue.resume(again.id)


@unix
def test_what_does_not_end_by_itself_is_ended_at_once_when_asked(queue: JobQueue, tmp_path: Path) -> None:
    job = queue.submit(["train.py", "until=never"])
    wait_for((tmp_path / "x.begun").exists)

    queue.cancel(job.id, now=True)

    found = ended(queue, job)
    assert (found.state, found.exit_code) == ("cancelled", -signal.SIGKILL)
    assert not (tmp_path / "x.saved").exists()


@pytest.mark.slow
def test_a_waiting_job_that_is_cancelled_never_begins(queue: JobQueue, tmp_path: Path) -> None:
    first = queue.submit(["train.py", "run.name=a", "until=go"])
    second = queue.submit(["train.py", "run.name=b"])

    assert queue.cancel(second.id).state == "cancelled"
    (tmp_path / "go").touch()
    ended(queue, first)
    ended(queue, queue.submit(["train.py", "run.name=c"]))

    assert not (tmp_path / "b.begun").exists()
    queue.remove(second.id)
    assert [job.title for job in queue.jobs()] == ["train", "train"]


@pytest.mark.slow
@unix
def test_a_killed_studio_loses_nothing_and_its_queue_goes_on(queue: JobQueue, tmp_path: Path) -> None:
    program = (
        "import os, signal, pathlib\n"
        "from studio.jobs import JobQueue\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "queue = JobQueue(folder / 'queue', work=folder, scripts=folder / 'scripts')\n"
        "queue.submit(['train.py', 'run.name=a', 'until=go'])\n"
        "queue.submit(['train.py', 'run.name=b'])\n"
        "os.killpg(0, signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, start_new_session=True, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_for((tmp_path / "a.begun").exists)

    (tmp_path / "go").touch()
    wait_for((tmp_path / "b.done").exists)

    first, second = queue.jobs()
    assert ended(queue, first).state == ended(queue, second).state == "done"


@unix
def test_a_studio_that_comes_back_starts_what_was_waiting(queue: JobQueue, tmp_path: Path) -> None:
    place = queue.folder / "20260101-000000-000000-0000"
    asked = {"arguments": ["train.py"], "title": "t", "device": "cpu", "submitted": 0.0}
    place.mkdir()
    (place / "job.json").write_text(
        json.dumps({**asked, "folder": str(tmp_path), "scripts": str(tmp_path / "scripts")}), "utf-8"
    )

    made_queue(tmp_path)

    assert ended(queue, queue.job(place.name)).state == "done"


@pytest.mark.slow
@unix
def test_an_end_that_nobody_saw_is_said_and_a_training_goes_on_from_it(queue: JobQueue, tmp_path: Path) -> None:
    job = queue.submit(["train.py", "until=never"])
    wait_for((tmp_path / "x.begun").exists)
    found = started(queue, job.id)

    os.kill(found["worker"]["pid"], signal.SIGKILL)
    assert queue.job(job.id).state == "running"
    waiting = queue.submit(["train.py", "run.name=b"])  # its worker waits for the command that still has the device
    assert not (tmp_path / "b.begun").exists()
    os.kill(found["pid"], signal.SIGKILL)

    assert ended(queue, waiting).state == "done"
    assert queue.job(job.id).state == "interrupted"
    assert queue.job(job.id).can_continue


def test_a_later_process_with_the_same_number_is_not_taken_for_the_job(queue: JobQueue) -> None:
    job = ended(queue, queue.submit(["train.py"]))
    (queue.folder / job.id / "ended.json").unlink()
    ours = {"pid": os.getpid(), "began": 1.0}
    (queue.folder / job.id / "started.json").write_text(json.dumps({**ours, "worker": ours, "at": 1.0}), "utf-8")

    assert queue.job(job.id).state == "interrupted"
    queue.cancel(job.id)  # and is not sent a signal


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_line_and_leaves_no_half_a_job(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.files.os.fsync", full)

    with pytest.raises(DataError, match="No space left on device; free some space"):
        queue.submit(["train.py"])

    assert [path for path in queue.folder.iterdir() if path.is_dir()] == []


@unix
def test_a_command_that_nobody_could_find_again_does_not_run(
    queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_ensure_worker", lambda device: None)
    job = queue.submit(["train.py", "until=never"])
    monkeypatch.setattr(studio.worker, "atomic_write_json", full)

    with pytest.raises(OSError, match="No space left"):
        studio.worker.run_job(queue.folder / job.id)  # returns: the command was ended

    assert not (tmp_path / "x.done").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "none of the scripts"),
        (["../train.py"], "none of the scripts"),
        (["bash", "-c", "true"], "none of the scripts"),
        (["train.py", "model._target_=os.system"], "sets no classes"),
        (["train.py", "+hydra.run.dir=/tmp"], "nothing of Hydra"),
        (["export_onnx.py", "trust=[evil]"], "no trust="),
        (["train.py", "--config-dir=/tmp"], "key=value"),
        (["train.py", "a\0b"], "zero byte"),
    ],
)
def test_a_command_that_is_not_ours_is_refused(queue: JobQueue, arguments: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        queue.submit(arguments)

    assert queue.jobs() == []


@pytest.mark.parametrize("name", ["..", "../x", "", "a/b", "no-such-job"])
def test_an_id_that_leaves_the_folder_or_is_none_is_one_line(queue: JobQueue, name: str) -> None:
    for ask in (queue.job, queue.log, queue.cancel, queue.remove, queue.resume):
        with pytest.raises(ConfigError, match="is not known"):
            ask(name)


def test_a_log_shows_the_last_state_of_a_line_and_no_secret(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "wonderland-7")
    job = queue.submit(
        ["train.py", r"say=0%\r50%\r100%\nlogin wonderland-7 at http://u:pw@host\nlogger.api_key=k123\n"]
    )

    ended(queue, job)

    assert queue.log(job.id).splitlines() == ["100%", "login *** at http://***@host", "logger.api_key=***", ""]
    assert queue.log(job.id, 2).splitlines() == ["", ""]


def test_a_command_line_can_be_pasted() -> None:
    job = studio.jobs.Job(
        id="x", arguments=("train.py", "run.name=Žofie (2)"), title="t", device="cuda:1", folder=Path(), state="done",
        submitted=0.0,
    )  # fmt: skip

    assert shlex.split(job.command_line) == ["CUDA_VISIBLE_DEVICES=1", "python", "train.py", "run.name=Žofie (2)"]
    assert job.state in ENDED
