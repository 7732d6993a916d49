"""What the environment and a sweep's command line mean, for all four scripts."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

import train
from tests.tools.training_tools import arguments, make_dataset
from utils.config import run_script, select
from utils.config.arguments import spell
from utils.config.environment import single_runs, sweep_suffix, swept_keys
from utils.config.job import Job
from utils.config.roots import JOBS
from utils.config.train import TrainJob, train_job
from utils.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def jobs_of(
    config_name: str, words: list[str], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> list[Any]:
    """Run a script whose task only takes its job; returns one for each run."""
    seen: list[Any] = []
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", [f"{config_name}.py", *words])
    monkeypatch.chdir(ROOT)

    def task(job: Job) -> float:
        seen.append(job)
        return 0.0

    run_script(JOBS[config_name], task)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config_name", "variable", "value", "key", "expected"),
    [
        ("preprocess", "VOCLO_PREPROCESS__NUM_WORKERS", "3", "preprocess.num_workers", 3),
        ("train", "VOCLO_TRAINER__STEPS", "500", "trainer.steps", 500),
        ("train", "VOCLO_MODEL", "toy", "model._target_", "models.toy.ToyVoice"),
        ("train", "VOCLO_OPTIM__OPTIMIZER__LR", "1e-3", "optim.optimizer.lr", 1e-3),
        ("train", "voclo_trainer__steps", "500", "trainer.steps", 20000),  # another program's variable
        ("export", "VOCLO_EXPORT__ROOT", "my voices (new)", "export.root", "my voices (new)"),
        ("test_model", "VOCLO_THREADS", "[1]", "threads", [1]),
        ("test_model", "VOCLO_REPORT", "", "report", None),
    ],
)
def test_environment_sets_a_key_of_every_script(
    config_name: str, variable: str, value: str, key: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = jobs_of(config_name, [], {variable: value}, monkeypatch)

    assert select(job.to_plain(), key) == expected


@pytest.mark.slow
def test_command_line_stands_above_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"VOCLO_TRAINER__STEPS": "500", "VOCLO_MODEL": "toy", "VOCLO_SEED": "7", "VOCLO_EXPORT__ROOT": "x"}

    (job,) = jobs_of("train", ["trainer.steps=3", "model=lite"], environment, monkeypatch)

    assert (job.trainer.steps, job.seed) == (3, 7)
    assert job.model.target == "models.lite.LiteVoice"
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["from the environment: seed=7", "no keys of train.py, left alone: VOCLO_EXPORT__ROOT"]


def test_a_password_from_the_environment_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (job,) = jobs_of("studio", [], {"VOCLO_PASSWORD": "swordfish", "VOCLO_PORT": "8000"}, monkeypatch)

    assert (job.password, job.port) == ("swordfish", 8000)
    assert capsys.readouterr().err == "from the environment: password=***, port=8000\n"


@pytest.mark.slow
def test_path_from_the_environment_is_spelled_like_one_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = jobs_of("test_model", [], {"VOCLO_AUDIO": "a, b (1)/c'd.wav"}, monkeypatch)

    assert job.audio.path == Path("a, b (1)/c'd.wav")


@pytest.mark.slow
@pytest.mark.parametrize("config_name", list(JOBS))
def test_unknown_variable_is_one_line_and_code_2(
    config_name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        jobs_of(config_name, [], {"VOCLO_EXPORT__ROOTS": "1"}, monkeypatch)

    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert error.startswith("error: environment variable VOCLO_EXPORT__ROOTS=1: export.roots is no key of any script")
    assert error.count("\n") == 1
    assert config_name != "export" or "did you mean VOCLO_EXPORT__ROOT?" in error


@pytest.mark.parametrize(("name", "value"), [("VOCLO_TRAINER__STEPS", "many"), ("VOCLO_MODEL", "huge")])
def test_bad_value_is_one_line_that_names_the_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        jobs_of("train", [], {name: value}, monkeypatch)

    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert error.count("\n") == 1
    assert value in error and name in error


def test_every_value_of_a_sweep_is_checked_once() -> None:
    runs = single_runs(["a=1", "model=lite,toy", "lr=tag(log, interval(0.1, 1))", "seed=range(1,1000)", "x='p,q'"])

    first = ["a=1", "model=lite", "lr=0.1", "seed=1", "x='p,q'"]
    assert runs == [first, [*first[:1], "model=toy", *first[2:]], [*first[:2], "lr=1.0", *first[3:]]]
    assert swept_keys(["a=1", "+model=lite,toy", "x=[1,2]"]) == {"model"}


def test_wrong_value_in_a_sweep_is_refused_before_the_first_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        jobs_of("train", ["-m", "model=lite,tyo"], {}, monkeypatch)

    assert caught.value.code == 2
    assert "tyo" in capsys.readouterr().err


def test_name_of_a_run_in_a_sweep_is_fit_for_a_folder() -> None:
    assert sweep_suffix(3, []) == "3"
    assert sweep_suffix(3, ["seed=1", "optim.optimizer.lr=0.00123456", "model=toy"]) == "3_seed-1_lr-0.001235_model-toy"
    assert sweep_suffix(0, ["x='a/b c'"]) == "0_x-a-b-c"


@pytest.mark.slow
def test_sweep_gives_each_run_a_folder_and_goes_on_after_a_run_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from utils.training.fit import run_folder

    folders: list[str] = []

    def task(job: TrainJob) -> float:
        folders.append(run_folder(job).name)
        if job.seed == 1:
            raise ConfigError("this run cannot be")
        return 1.0

    words = ["dataset.name=tiny", f"run.root={tmp_path}", "-m", "seed=1,2"]
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    with pytest.raises(SystemExit) as caught:
        run_script(TrainJob, task)

    assert caught.value.code == 2
    assert folders == ["tiny_litevoice_0_seed-1", "tiny_litevoice_1_seed-2"]
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-1]) == ("error in run 0_seed-1: this run cannot be", "error: this run cannot be")


@pytest.mark.slow
def test_training_returns_its_lowest_held_out_value(tmp_path: Path) -> None:
    import json

    datasets = make_dataset(tmp_path)
    words = arguments(datasets, tmp_path / "runs", "x", 2, "trainer.validate_every=1")

    value = train.main(train_job(words))

    rows = json.loads((tmp_path / "runs" / "x" / "metrics.json").read_text())["history"]
    assert isinstance(value, float)
    assert value == min(row["val/mel"] for row in rows)


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        ("run.name=2024_06_01", "run.name='2024_06_01'"),
        ("+run.name=1e3", "+run.name='1e3'"),
        ("run.name=true", "run.name='true'"),
        ("run.name=2024_06_01,b,7", "run.name='2024_06_01,b,7'"),
        ("run.name=alice", "run.name=alice"),
        ("run.name=null", "run.name=null"),
        ("run.name=", "run.name="),
        ("run.name='2024_06_01'", "run.name='2024_06_01'"),
        ("run.name='a,1'", "run.name='a,1'"),
        ("run.name=${seed}", "run.name='${seed}'"),
        ("seed=2024_06_01", "seed=2024_06_01"),
        ("--multirun", "--multirun"),
    ],
)
def test_name_that_looks_like_a_number_is_quoted(typed: str, given: str) -> None:
    assert spell([typed], ("run.name",)) == [given]


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        ("train", ["dataset.name=2024_06_01"], "dataset.name=2024_06_01 is not prepared (datasets/2024_06_01 has"),
        ("train", ["dataset.name=x", "dataset.root=2024_06_01"], "is not prepared (2024_06_01/x has"),
        ("export_onnx", ["run=2024_06_01"], "run=2024_06_01 is not a folder"),
        ("export_onnx", ["run=voices (a, b)/x"], "run=voices (a, b)/x is not a folder"),
    ],
)
def test_names_and_paths_are_taken_as_they_are_typed(
    script: str, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *words])
    monkeypatch.chdir(ROOT)

    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / f"{script}.py"), run_name="__main__")

    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("script", "key"), [("train", "run.name"), ("export", "name")])
def test_sweep_over_names_that_look_like_numbers_has_each_as_it_is_typed(
    script: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    words = [f"{key}=2024_06_01,b", "-m", f"hydra.sweep.dir={tmp_path}"]
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *words])

    run_script(JOBS[script], lambda job: seen.append(select(job.to_plain(), key)))

    assert seen == ["2024_06_01", "b"]
