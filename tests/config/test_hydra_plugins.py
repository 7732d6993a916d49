"""hydra/launcher=slurm and hydra/sweeper=optuna: what they compose to, and what they say where a package is absent."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from hydra_plugins.voclo_workbench import slurm_launcher
from hydra_plugins.voclo_workbench.slurm_launcher import QueuedTask
from utils.config import run_script
from utils.config.composing import Composed
from utils.config.train import TrainJob
from utils.errors import PREEMPTED_EXIT_CODE, WorkbenchError

needs_optuna = pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="optuna is not installed")


def test_launcher_and_sweeper_compose_with_a_script() -> None:
    from hydra.core.plugins import Plugins
    from hydra.plugins.launcher import Launcher
    from hydra.plugins.sweeper import Sweeper

    overrides = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu", "hydra/sweeper=optuna", "run.root=here"]

    config = TrainJob.compose(overrides, with_hydra=True)

    assert config.hydra.launcher.partition == "gpu"
    assert config.hydra.launcher.submitit_folder == "here/.submitit/%j"
    found = {
        item.__module__ + "." + item.__name__
        for kind in (Launcher, Sweeper)
        for item in Plugins.instance().discover(kind)
    }
    assert {config.hydra.launcher._target_, config.hydra.sweeper._target_} <= found


@pytest.mark.parametrize(
    ("package", "words", "install"),
    [
        ("hydra_plugins.hydra_submitit_launcher", ["hydra/launcher=slurm", "seed=1,2"], "hydra-submitit-launcher"),
        ("optuna", ["hydra/sweeper=optuna", "seed=1,2"], "optuna"),
    ],
)
def test_absent_package_is_one_line_with_what_to_type(
    package: str,
    words: list[str],
    install: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in (package, f"{package}.submitit_launcher"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", f"run.root={tmp_path}", *words])

    with pytest.raises(SystemExit) as caught:
        run_script(TrainJob, lambda job: 0.0)

    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert error.count("\n") == 1
    assert "pip install" in error and install in error


def test_run_that_a_signal_stopped_goes_back_into_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(slurm_launcher.subprocess, "run", lambda command, check: commands.append(command))
    for name, value in {"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "10", "SLURM_ARRAY_TASK_ID": "1"}.items():
        monkeypatch.setenv(name, value)

    def stopped(code: int) -> QueuedTask:
        def task(config: Composed) -> None:
            raise SystemExit(code)

        return QueuedTask(task)

    with pytest.raises(SystemExit):
        stopped(PREEMPTED_EXIT_CODE)(OmegaConf.create({}))
    monkeypatch.setenv("SLURM_PROCID", "1")  # of several processes one asks
    with pytest.raises(SystemExit):
        stopped(PREEMPTED_EXIT_CODE)(OmegaConf.create({}))
    with pytest.raises(WorkbenchError, match="exit code 1"):
        stopped(1)(OmegaConf.create({}))

    assert commands == [["scontrol", "requeue", "10_1"]]


@needs_optuna
def test_search_minimises_and_continues_a_stored_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    values: list[float] = []

    def task(job: TrainJob) -> float:
        values.append((job.optim.clip_norm - 3.0) ** 2)
        return values[-1]

    def sweep(num_trials: int) -> dict[str, Any]:
        words = [f"run.root={tmp_path}", "hydra/sweeper=optuna", "optim.clip_norm=interval(1,20)", "model=toy"]
        study = [f"hydra.sweeper.storage='sqlite:///{tmp_path}/s.db'", "hydra.sweeper.study_name=s"]
        monkeypatch.setattr(sys, "argv", ["train.py", "-m", *words, *study, f"hydra.sweeper.n_trials={num_trials}"])
        run_script(TrainJob, task)
        return dict(json.loads((tmp_path / "s.json").read_text()))

    first, second = sweep(3), sweep(5)

    assert len(values) == 5
    assert len(first["trials"]) == 3
    assert [trial["result"] for trial in second["trials"]] == sorted(values)
    assert sorted(trial["run"] for trial in second["trials"]) == [0, 1, 2, 3, 4]


@needs_optuna
def test_sweeps_become_distributions() -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    from hydra_plugins.voclo_workbench.optuna_sweeper import search_space

    space, fixed = search_space(
        [
            "a=interval(1,2)",
            "b=tag(log, interval(0.1,1))",
            "c=int(interval(1,5))",
            "d=range(2,9,2)",
            "e=x,y",
            "f=1",
            "a=3",
        ]
    )

    assert fixed == ["f=1", "a=3"]
    assert space == {
        "b": FloatDistribution(0.1, 1.0, log=True),
        "c": IntDistribution(1, 5),
        "d": IntDistribution(2, 8, step=2),
        "e": CategoricalDistribution(["x", "y"]),
    }


@needs_optuna
def test_failed_run_ends_the_search_unless_it_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra_plugins.voclo_workbench.optuna_sweeper import OptunaSweeper

    def sweeper(rate: float) -> OptunaSweeper:
        made = OptunaSweeper(
            params={"x": "interval(0,1)"},
            n_trials=2,
            n_jobs=1,
            direction="minimize",
            sampler="random",
            seed=1,
            storage=None,
            study_name="s",
            max_failure_rate=rate,
        )
        made.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
        result = SimpleNamespace(return_value=float("nan"), status=None)
        made.launcher = SimpleNamespace(launch=lambda overrides, initial_job_idx: [result])
        return made

    with pytest.raises(WorkbenchError, match="run 0 returned nan"):
        sweeper(0.0).sweep([])
    sweeper(1.0).sweep([])
