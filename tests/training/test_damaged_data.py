"""A dataset that is damaged while a training reads it ends the training in one line, and nothing trained is lost."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from models.adversarial import AdversarialTraining
from tests.tools.process_tools import run_alone
from tests.tools.resume_tools import assert_same_run, config
from tests.tools.training_tools import make_dataset
from utils.config.train import TrainJob
from utils.corpus import store
from utils.corpus.stored_array import DamagedFileError
from utils.training import train
from utils.training.checkpoints import read_checkpoint

DAMAGED_IN = 2  # the update in which it happens


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("datasets"))


@pytest.fixture
def datasets(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "datasets")
    return tmp_path / "datasets"


def damage(folder: Path, how: str) -> None:
    for path in (folder / "tiny" / "arrays").iterdir():
        if how == "shrinks":
            os.truncate(path, 100)
        else:
            data = bytearray(path.read_bytes())
            data[128::64] = bytes(value ^ 1 for value in data[128::64])
            path.write_bytes(data)


def train_and_damage(job: TrainJob, datasets: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Train in a process of its own, let the dataset be damaged meanwhile, and return the error."""
    step = AdversarialTraining.training_step
    told = datasets / "told"

    def deadly(self: Any, batch: Any, index: int) -> None:
        if self.steps == DAMAGED_IN:
            damage(datasets, how)
        step(self, batch, index)

    def work() -> None:
        try:
            train(job)
        except DamagedFileError as error:
            told.write_text(str(error))
            sys.exit(error.exit_code)

    with monkeypatch.context() as patch:
        patch.setattr(store, "VERIFIED_AT_ONCE", 0)
        patch.setattr(AdversarialTraining, "training_step", deadly)
        assert run_alone(work) == 2
    return told.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("how", "num_workers"), [("flipped bytes", 2), ("flipped bytes", 0), ("shrinks", 2)])
def test_damage_in_a_training_ends_it_with_its_state_saved(
    whole: Path, datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, num_workers: int
) -> None:
    changed = [
        f"data.num_workers={num_workers}",
        "trainer.save_every=100",
        "trainer.steps=30",
        "trainer.validate_every=25",
        "trainer.log_every=1",
    ]
    job = config(datasets, tmp_path, "damaged", *changed)

    told = train_and_damage(job, datasets, how, monkeypatch)
    saved = int(read_checkpoint(tmp_path / "damaged" / "checkpoints" / "last.ckpt")["state_dict"]["steps_done"])
    shutil.rmtree(datasets)
    shutil.copytree(whole, datasets)
    train(config(datasets, tmp_path, "damaged", *changed, "resume=last"))
    train(config(datasets, tmp_path, "whole", *changed))

    assert "\n" not in told and "run preprocess.py again" in told
    assert told.startswith(str(datasets)) and told.endswith(f"state of update {saved} saved: continue with resume=last")
    assert saved > DAMAGED_IN
    assert_same_run(tmp_path / "damaged", tmp_path / "whole")
