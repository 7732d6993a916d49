"""train.py as a user meets it: what is missing, what is wrong, help, a sweep, two processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.training_tools import arguments, make_dataset
from train import main
from utils.config import from_yaml, run_script
from utils.config.train import TrainJob
from utils.training.checkpoints import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


def script(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run train.py in a process of its own that works in a folder."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(ROOT / "train.py"), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def refused(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run train.py in this process, which must end with code 2, and return what it wrote to standard error."""
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as caught:
        run_script(TrainJob, main)
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    return output.err


@pytest.mark.slow
def test_train_alone_says_in_two_lines_what_is_missing_and_what_to_type(tmp_path: Path) -> None:
    done = script(tmp_path)

    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(lines) == 2
    assert "dataset.name is missing" in lines[0]
    assert "python train.py dataset.name=" in lines[1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["trainer.step=3"], ["trainer.step"]),
        (["dataset.nmae=x"], ["dataset.nmae"]),
        (["nonsense=1"], ["nonsense"]),
        (["model=huge"], ["model", "huge", "lite", "toy"]),
        (["discriminator=heavy"], ["discriminator", "heavy", "light", "none"]),
        (["pretrained=other"], ["pretrained", "other", "none"]),
        (["trainer.steps=abc"], ["trainer.steps=abc", "whole number"]),
        (["trainer.steps=1.5"], ["trainer.steps=1.5", "whole number"]),
        (["trainer.steps=true"], ["trainer.steps=true", "whole number"]),
        (["data.perturbed_share=much"], ["data.perturbed_share=much", "a number"]),
        (["trainer.media=maybe"], ["trainer.media=maybe", "true or false"]),
        (["trainer.steps="], ["trainer.steps"]),
        (["steps 3"], ["steps 3"]),
        (["data.batch_size=[1,2"], ["data.batch_size"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_typo_is_one_line_naming_the_key_and_what_is_allowed(
    words: list[str], parts: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(["dataset.name=x", *words], monkeypatch, capsys)

    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert not [part for part in parts if part not in error], error


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("trainer.steps=-3", ["trainer.steps=-3", "at least 1"]),
        ("optim.ema_decay=2", ["optim.ema_decay=2", "between 0 and"]),
        ("+model.depth=3", ["model", "depth"]),
        ("+optim.optimizer.speed=3", ["optim.optimizer", "speed"]),
    ],
)
def test_value_that_does_not_fit_is_one_line(
    override: str,
    parts: list[str],
    tmp_path_factory: pytest.TempPathFactory,
    datasets: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = arguments(datasets, tmp_path_factory.mktemp("runs"), "x", 1, override)

    error = refused(words, monkeypatch, capsys)

    assert error.count("\n") == 1
    assert not [part for part in parts if part not in error], error


@pytest.mark.slow
def test_help_explains_every_group(tmp_path: Path) -> None:
    done = script(tmp_path, "--help")

    assert done.returncode == 0
    groups = [path.name for path in (ROOT / "configs").iterdir() if path.is_dir() and list(path.glob("*.yaml"))]
    used = [name for name in groups if f"{name}=" in done.stdout or f"{name}:" in done.stdout]
    assert {"audio", "model", "discriminator", "pretrained", "optim", "trainer", "experiment"} <= set(used)
    assert "toy" in done.stdout and "lite" in done.stdout


def test_showing_and_sweeping_at_once_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(["-m", "seed=1,2", "--cfg", "job"], monkeypatch, capsys)

    assert error == "error: -m and --cfg exclude each other; give one of them\n"


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--cfg", "job", "-p", "trainer"], ["trainer.steps=7", "-c", "job"]])
def test_configuration_is_shown_without_training(words: list[str], tmp_path: Path) -> None:
    done = script(tmp_path, *words)

    assert done.returncode == 0, done.stderr
    assert ("steps: 7" if "trainer.steps=7" in words else "steps: 20000") in done.stdout
    assert ("dataset:" in done.stdout) == ("-p" not in words)


@pytest.mark.slow
def test_sweep_over_two_seeds_makes_two_runs(datasets: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"

    done = script(tmp_path, "--multirun", *arguments(datasets, runs, "sweep", 1), "seed=1,2")

    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in runs.iterdir() if path.is_dir()) == ["sweep_0_seed-1", "sweep_1_seed-2"]
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    texts = [(runs / name / "config.yaml").read_text("utf-8") for name in ("sweep_0_seed-1", "sweep_1_seed-2")]
    assert [from_yaml(text)["seed"] for text in texts] == [1, 2]


@pytest.mark.slow
def test_two_processes_train_one_voice(datasets: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"

    done = script(tmp_path, "trainer=ddp", *arguments(datasets, runs, "both", 2))

    assert done.returncode == 0, done.stderr
    assert int(read_checkpoint(runs / "both" / "checkpoints" / "last.ckpt")["state_dict"]["steps_done"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert done.stdout.count("checkpoints in") == 1
