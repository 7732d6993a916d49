"""The group debug: each option runs on a small dataset and finds what it is for."""

import csv
from pathlib import Path

import pytest

from tests.tools.training_tools import make_dataset, training
from utils.config.train import TrainJob, train_job
from utils.errors import ConfigError
from utils.training import train

NAMES = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "configs" / "debug").glob("*.yaml"))


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


def job(datasets: Path, runs: Path, option: str, *overrides: str) -> TrainJob:
    steps = train_job([f"debug={option}"]).trainer.steps
    return training(datasets, runs, f"debug_{option}", steps, f"debug={option}", *overrides)


@pytest.mark.parametrize("option", NAMES)
def test_each_option_is_a_run_of_its_own_that_may_be_replaced(option: str) -> None:
    run = train_job(["dataset.name=alice", f"debug={option}"]).run

    assert (run.name, run.replace) == (f"debug_{option}", True)


@pytest.mark.slow
def test_two_steps_validate_and_save_and_take_the_place_of_those_before(datasets: Path, tmp_path: Path) -> None:
    train(job(datasets, tmp_path, "two_steps"))
    (tmp_path / "debug_two_steps" / "left_over.txt").touch()

    run = train(job(datasets, tmp_path, "two_steps"))

    assert {path.name for path in (run / "checkpoints").iterdir()} >= {"best.ckpt", "last.ckpt"}
    assert not (run / "left_over.txt").exists()


@pytest.mark.slow
def test_a_run_that_was_not_made_to_be_replaced_stays(datasets: Path, tmp_path: Path) -> None:
    run = train(training(datasets, tmp_path, "debug_two_steps", 1))

    with pytest.raises(ConfigError, match=r"debug_two_steps was not made with it; type run\.name=<new name>"):
        train(job(datasets, tmp_path, "two_steps"))

    assert (run / "checkpoints" / "best.ckpt").is_file()


@pytest.mark.slow
def test_one_batch_is_learned_by_heart(datasets: Path, tmp_path: Path) -> None:
    run = train(job(datasets, tmp_path, "overfit"))

    with (run / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        losses = [float(row["train/generator/spectral"]) for row in csv.DictReader(stream)
                  if row["train/generator/spectral"]]  # fmt: skip
    assert losses[-1] < 0.4 * losses[0]


@pytest.mark.slow
def test_anomaly_names_the_operation_whose_gradient_is_no_number(datasets: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"Function '\w+Backward0' returned nan values"):
        train(job(datasets, tmp_path, "anomaly", "discriminator=none", "optim.optimizer.lr=1e30"))


@pytest.mark.slow
def test_profiler_lists_operations_by_their_time(datasets: Path, tmp_path: Path) -> None:
    run = train(job(datasets, tmp_path, "profiler"))

    assert "aten::convolution_backward" in (run / "profile.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_run_from_before_the_group_goes_on(datasets: Path, tmp_path: Path) -> None:
    import torch

    run = train(training(datasets, tmp_path, "old", 1))
    path = run / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    del content["voclo_trainer"]["decisive"]["data.repeat_batch"]
    torch.save(content, path)

    assert train(training(datasets, tmp_path, "old", 2, "resume=last")) == run
