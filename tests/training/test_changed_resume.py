"""resume_changed=true: what a run forgets of what it was before, and what it keeps."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models.adversarial import AdversarialTraining
from tests.tools.training_tools import make_dataset, training
from tests.training.test_run import load_codebook
from utils.errors import ConfigError
from utils.training.checkpoints import read_checkpoint
from utils.training.codebook import CODEBOOK_FILE
from utils.training.fit import train
from utils.training.summary import best_held_out

GO_ON = ("resume=last", "resume_changed=true")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other recordings of the same speakers."""
    return make_dataset(tmp_path_factory.mktemp("other"), first_seed=10)


def validate_as(values: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the held-out criterion at each step be a given one."""
    step = AdversarialTraining.validation_step

    def validated(self: Any, batch: Any, index: int) -> None:
        step(self, batch, index)
        self.validated = (values[self.steps], 1)

    monkeypatch.setattr(AdversarialTraining, "validation_step", validated)


def best_step(run: Path) -> int:
    return int(read_checkpoint(run / "checkpoints" / "best.ckpt")["state_dict"]["steps_done"])


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["data.val_segment_frames=40", "dataset"])
def test_figures_that_do_not_compare_are_forgotten_for_good(
    changed: str,
    datasets: Path,
    others: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    changed = f"dataset.root={others}" if changed == "dataset" else changed
    validate_as({2: 1.0, 4: 5.0, 6: 6.0, 8: 5.5}, monkeypatch)
    train(training(datasets, tmp_path, "run", 2))

    run = train(training(datasets, tmp_path, "run", 6, *GO_ON, changed, "trainer.validate_every=2"))

    assert "follows from new ones alone" in caplog.text
    assert best_step(run) == 4
    states = read_checkpoint(run / "checkpoints" / "last.ckpt")["callbacks"]
    assert states["OvertrainingWatch"]["steps"] == [4, 6]
    run = train(training(datasets, tmp_path, "run", 8, "resume=last", changed, "trainer.validate_every=2"))
    metrics = json.loads((run / "metrics.json").read_text())
    assert best_step(run) == metrics["best"]["step"] == metrics["first"]["step"] == 4
    assert best_held_out(run) == 5.0
    assert [row["step"] for row in metrics["history"]] == [2, 4, 6, 8]
    with (run / "metrics.csv").open(newline="") as stream:
        lowest = [float(row["val/best_mel"]) for row in csv.DictReader(stream) if row["val/best_mel"]]
    assert lowest == [1, 5, 5, 5]


@pytest.mark.slow
def test_figures_that_compare_are_kept(datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    validate_as({2: 1.0, 4: 5.0}, monkeypatch)
    train(training(datasets, tmp_path, "run", 2))

    run = train(training(datasets, tmp_path, "run", 4, *GO_ON, "optim.optimizer.lr=0.01"))

    assert best_step(run) == json.loads((run / "metrics.json").read_text())["best"]["step"] == 2


@pytest.mark.slow
def test_codebook_of_other_data_or_another_size_is_made_anew(datasets: Path, others: Path, tmp_path: Path) -> None:
    run = train(training(datasets, tmp_path, "run", 1))
    first, fresh = load_codebook(run), load_codebook(train(training(others, tmp_path, "fresh", 1)))

    train(training(datasets, tmp_path, "run", 2, *GO_ON, "optim.optimizer.lr=0.01"))
    kept = load_codebook(run)
    train(training(others, tmp_path, "run", 3, *GO_ON))
    of_others = load_codebook(run)
    train(training(others, tmp_path, "run", 4, *GO_ON, "retrieval.codebook_size=8"))
    smaller = load_codebook(run)
    train(training(others, tmp_path, "run", 5, *GO_ON, "retrieval.codebook_size=0"))

    assert torch.equal(kept, first)
    assert torch.equal(of_others, fresh) and not torch.equal(fresh, first)
    assert smaller.shape[1] == 8
    assert not (run / CODEBOOK_FILE).exists()


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["model.channels=8", "trainer.probe=true"])
def test_codebook_stays_where_the_run_does_not_go_on(changed: str, datasets: Path, tmp_path: Path) -> None:
    run = train(training(datasets, tmp_path, "run", 1))
    before = (run / CODEBOOK_FILE).read_bytes()

    try:
        train(training(datasets, tmp_path, "run", 2, *GO_ON, "retrieval.codebook_size=8", changed))
    except ConfigError as error:
        assert "other networks" in str(error)

    assert (run / CODEBOOK_FILE).read_bytes() == before
