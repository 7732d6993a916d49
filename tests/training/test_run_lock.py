"""One train.py at a time works on a run."""

import errno
import os
import signal
from pathlib import Path
from threading import Event
from typing import IO

import pytest
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from tests.tools.process_tools import FORK, run_alone
from tests.tools.training_tools import make_dataset, training
from utils.errors import ConfigError
from utils.files import UNFINISHED, atomic_write
from utils.locks import try_lock
from utils.training import run_lock
from utils.training.fit import train
from utils.training.run_lock import LOCK_FILE, lock_run

REFUSED = r"runs/alice is being trained by another train\.py \(process \d+ on .*\); wait .*run\.name=<new name>"


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "alice"


@pytest.mark.slow
@pytest.mark.parametrize("resume", ["resume=null", "resume=auto"])
def test_second_training_of_a_run_is_refused_and_touches_nothing(resume: str, datasets: Path, run: Path) -> None:
    half_written = run / "checkpoints" / ".last.ckpt.partial"
    half_written.parent.mkdir(parents=True)
    half_written.write_bytes(b"of the first one")

    with lock_run(run), pytest.raises(ConfigError, match=REFUSED) as caught:
        train(training(datasets, run.parent, run.name, 1, resume))

    assert "\n" not in str(caught.value)
    assert [path for path in run.rglob("*") if path.is_file()] == [half_written]
    train(training(datasets, run.parent, run.name, 1, resume))
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert not (run / LOCK_FILE).exists()


def test_what_a_killed_training_left_unfinished_goes_and_what_looks_like_it_stays(run: Path) -> None:
    (run / "evaluation").mkdir(parents=True)
    left = [run / ".metrics.csv.wqw65oal.tmp", run / "evaluation" / ".series.json.a_b0c1d2.tmp"]
    kept = [run / "metrics.csv", run / "notes.tmp", run / ".notes.tmp", run / ".report.html.LATER.tmp"]
    for path in (*left, *kept):
        path.write_text("1", "utf-8")

    with lock_run(run):
        assert sorted(path for path in run.rglob("*") if path.name != LOCK_FILE and path.is_file()) == sorted(kept)
        left[1].write_text("1", "utf-8")
    assert sorted(path for path in run.rglob("*") if path.is_file()) == sorted(kept)


def test_the_name_of_an_unfinished_file_is_known(tmp_path: Path) -> None:
    class KilledError(BaseException):
        pass

    def write(stream: object) -> None:
        (unfinished,) = tmp_path.iterdir()
        assert UNFINISHED.fullmatch(unfinished.name)
        raise KilledError

    with pytest.raises(KilledError):
        atomic_write(tmp_path / "metrics.csv", write)


def test_lock_of_a_killed_process_is_gone_though_a_loader_of_it_lives_on(run: Path) -> None:
    is_there, end = FORK.Event(), FORK.Event()

    def load() -> None:
        is_there.set()
        end.wait()

    def work() -> None:
        with lock_run(run):
            FORK.Process(target=load).start()
            is_there.wait()
            os.kill(os.getpid(), signal.SIGKILL)

    assert run_alone(work) == -signal.SIGKILL
    assert (run / LOCK_FILE).exists()

    with lock_run(run), pytest.raises(ConfigError, match=REFUSED), lock_run(run):
        pass
    end.set()


def test_folders_made_for_the_lock_alone_go_again(run: Path) -> None:
    with pytest.raises(KeyError), lock_run(run):
        raise KeyError

    assert not run.parent.exists()


@pytest.mark.parametrize("place", ["rank", "node"])
def test_other_processes_of_a_job_are_not_kept_away(place: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lock_run(run):
        if place == "rank":
            monkeypatch.setattr(rank_zero_only, "rank", 1)
        else:
            monkeypatch.setenv("NODE_RANK", "1")
        with lock_run(run):
            pass

        assert (run / LOCK_FILE).exists()


def test_lock_that_the_one_before_removes_at_that_moment_is_made_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = Event()

    def late(stream: IO[str]) -> bool:
        if not removed.is_set():
            (run / LOCK_FILE).unlink()
            removed.set()
        return try_lock(stream)

    monkeypatch.setattr(run_lock, "try_lock", late)
    with lock_run(run), pytest.raises(ConfigError, match=REFUSED), lock_run(run):
        pass


def test_file_system_without_locks_is_a_warning(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(stream: IO[str]) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_lock, "try_lock", none)
    with lock_run(run):
        pass

    assert "cannot be locked on this file system (No locks available)" in caplog.text
