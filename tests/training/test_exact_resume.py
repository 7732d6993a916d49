"""A run that is killed at any point and resumed ends with the bits of one that was never interrupted."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tools.process_tools import run_alone
from tests.tools.resume_tools import (
    STEPS,
    assert_same_run,
    config,
    die_after_saving,
    die_between_last_and_best,
    die_in_update,
    die_in_validation,
    die_while_saving,
    points,
    signal_in_update,
)
from tests.tools.training_tools import make_dataset
from utils.errors import StoppedBySignalError
from utils.training import assembly
from utils.training.checkpoints import read_checkpoint
from utils.training.fit import train

OF_A_TERMINAL = [
    pytest.param(signal.SIGHUP),
    *(pytest.param(sent, marks=pytest.mark.slow) for sent in (signal.SIGXCPU, signal.SIGUSR2)),
]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a run without interruption, once for each set of overrides."""
    runs, made = tmp_path_factory.mktemp("whole"), dict[tuple[str, ...], Path]()

    def make(*changed: str) -> Path:
        if changed not in made:
            made[changed] = train(config(datasets, runs, f"run{len(made)}", *changed))
        return made[changed]

    return make


@pytest.mark.parametrize(
    ("kill", "number"),
    [
        (die_in_update, 0),
        (die_in_update, 1),
        (die_in_update, 2),
        (die_in_update, 5),
        (die_in_update, 6),
        (die_in_validation, 3),
        (die_in_validation, 6),
        (die_in_validation, 7),
        (die_while_saving, 2),
        (die_while_saving, 3),
        (die_while_saving, 4),
        (die_while_saving, 7),
        (die_after_saving, 2),
        (die_after_saving, 3),
        (die_between_last_and_best, 3),
        (die_between_last_and_best, 7),
    ],
)
@pytest.mark.parametrize(
    "changed", [pytest.param([], id="whole"), pytest.param(["optim.accumulate=2"], id="accumulated")]
)
@pytest.mark.slow
def test_killed_run_ends_as_one_never_interrupted(
    kill: Callable[[int, pytest.MonkeyPatch], None],
    number: int,
    changed: list[str],
    datasets: Path,
    whole: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        kill(number, patched)
        code = run_alone(lambda: train(config(datasets, tmp_path, "cut", *changed)))

    run = train(config(datasets, tmp_path, "cut", "resume=auto", *changed))

    assert code == -signal.SIGKILL
    assert_same_run(run, whole(*changed))
    assert not list((run / "checkpoints").glob(".*"))


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, *OF_A_TERMINAL])
@pytest.mark.parametrize(
    "number", [pytest.param(0, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)]
)  # 2: a validation follows
def test_signal_saves_the_update_and_the_run_goes_on_from_it(
    sent: signal.Signals,
    number: int,
    datasets: Path,
    whole: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(sent)
    with monkeypatch.context() as patched:
        signal_in_update(number, sent, patched)
        with pytest.raises(
            StoppedBySignalError, match=rf"{sent.name}.*update {number + 1} saved.*resume=last"
        ) as caught:
            train(config(datasets, tmp_path, "asked"))
    left = read_checkpoint(tmp_path / "asked" / "checkpoints" / "last.ckpt")

    run = train(config(datasets, tmp_path, "asked", "resume=last"))

    assert caught.value.exit_code == 75
    assert int(left["state_dict"]["steps_done"]) == number + 1
    assert signal.getsignal(sent) is before
    assert_same_run(run, whole())
    curves = [[row["step"] for row in points(place) if row["val/best_mel"]] for place in (run, whole())]
    assert curves[0] == curves[1] == ["3", "6", "7"]


@pytest.mark.slow
def test_signal_in_the_last_update_changes_nothing(
    datasets: Path, whole: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_in_update(STEPS - 1, signal.SIGTERM, monkeypatch)

    run = train(config(datasets, tmp_path, "late"))

    assert_same_run(run, whole())


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1, *OF_A_TERMINAL[:1]])
def test_signal_before_the_first_update_asks_for_another_try(
    sent: signal.Signals, datasets: Path, whole: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), sent)

    before = signal.getsignal(sent)
    with monkeypatch.context() as patched:
        patched.setattr(assembly, "prepare_codebook", asked)
        with pytest.raises(StoppedBySignalError, match=rf"{sent.name} .*outside of the updates.*resume=auto") as caught:
            train(config(datasets, tmp_path, "early"))

    assert caught.value.exit_code == 75
    assert signal.getsignal(sent) is before
    assert_same_run(train(config(datasets, tmp_path, "early", "resume=auto")), whole())


@pytest.mark.slow
def test_auto_resume_begins_a_run_that_does_not_exist(
    datasets: Path, whole: Callable[..., Path], tmp_path: Path
) -> None:
    run = train(config(datasets, tmp_path, "first", "resume=auto"))

    assert_same_run(run, whole())
