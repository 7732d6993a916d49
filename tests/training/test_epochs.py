"""Lengths in epochs, as users of other programs type them, become lengths in steps."""

from pathlib import Path

import pytest

from tests.tools.training_tools import arguments, make_dataset
from utils.config.train import train_job
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.training.assembly import steps_per_epoch
from utils.training.checkpoint_checks import steps_done
from utils.training.checkpoints import read_checkpoint
from utils.training.epochs import with_early_validations, with_epochs_as_steps
from utils.training.fit import train


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> CorpusStore:
    return CorpusStore.open(make_dataset(tmp_path_factory.mktemp("data")) / "tiny")


def words(*overrides: str) -> list[str]:
    return ["audio=16k", "model=toy", "dataset.name=tiny", *overrides]


def test_epochs_become_steps_of_this_dataset_and_batch(store: CorpusStore, capsys: pytest.CaptureFixture[str]) -> None:
    job = train_job(words("trainer.epochs=7", "trainer.save_every_epochs=2", "data.batch_size=2"))
    length = steps_per_epoch(job, store)
    assert length > 1

    converted = with_epochs_as_steps(job, store)

    assert (converted.trainer.steps, converted.trainer.save_every) == (7 * length, 2 * length)
    assert (converted.trainer.epochs, converted.trainer.save_every_epochs) == (None, None)
    said = capsys.readouterr().out
    assert f"an epoch of this dataset is {length} steps with data.batch_size=2" in said
    assert f"trainer.epochs=7 is trainer.steps={7 * length}" in said


def test_keys_that_follow_the_steps_follow_the_epochs(store: CorpusStore) -> None:
    job = train_job(words("trainer.epochs=3", "optim/schedule=cosine"))

    converted = with_epochs_as_steps(job, store)

    assert converted.optim.schedule.build().total_steps == converted.trainer.steps == 3 * steps_per_epoch(job, store)


def test_a_run_without_epochs_is_as_before(store: CorpusStore) -> None:
    job = train_job(words())

    assert with_epochs_as_steps(job, store) is job


@pytest.mark.parametrize(
    ("typed", "key"),
    [("trainer.epochs=2", "trainer.steps"), ("trainer.save_every_epochs=2", "trainer.save_every")],
)
def test_one_length_in_two_units_is_refused(typed: str, key: str, store: CorpusStore) -> None:
    with pytest.raises(ConfigError, match=f"{key} are the same length in two units"):
        with_epochs_as_steps(train_job(words(typed, f"{key}=5")), store)


def test_few_recordings_are_validated_early(store: CorpusStore, capsys: pytest.CaptureFixture[str]) -> None:
    job = train_job(words("pretrained.validate_epochs=10", "data.batch_size=2"))
    steps = 10 * steps_per_epoch(job, store)
    assert steps < job.trainer.validate_every

    assert with_early_validations(job, store).trainer.validate_every == steps
    assert f"trainer.validate_every={steps}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "typed",
    [(), ("pretrained.validate_epochs=10", "trainer.validate_every=400"), ("pretrained.validate_epochs=100000",)],
    ids=["no passes", "typed", "many recordings"],
)
def test_other_validations_stay_where_they_were(typed: tuple[str, ...], store: CorpusStore) -> None:
    job = train_job(words(*typed))

    assert with_early_validations(job, store) is job


@pytest.mark.parametrize("word", ["epochs", "total_epoch", "total_epochs"])
def test_words_of_other_programs_are_keys(word: str) -> None:
    job = train_job(words(f"{word}=300", "save_every_epoch=10", "batch_size=4"))

    assert (job.trainer.epochs, job.trainer.save_every_epochs, job.data.batch_size) == (300, 10, 4)
    assert {"trainer.epochs", "trainer.save_every_epochs", "data.batch_size"} <= job.given


@pytest.mark.slow
def test_a_training_of_one_epoch_ends_after_it(store: CorpusStore, tmp_path: Path) -> None:
    typed = arguments(store.path.parent, tmp_path, "run", 1, "epochs=1", "save_every_epochs=1")
    job = train_job([word for word in typed if not word.startswith("trainer.steps=")])

    run = train(job)

    assert steps_done(read_checkpoint(run / "checkpoints" / "last.ckpt")) == steps_per_epoch(job, store)
