"""The preprocessing pipeline: from a folder of recordings to a dataset, resumable at any moment."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utils.config.preprocess import PreprocessJob
from utils.corpus.completion import complete
from utils.corpus.run import begin
from utils.corpus.stages import compute
from utils.corpus.teacher import Teacher
from utils.errors import DataError
from utils.locks import try_lock


def prepare_dataset(job: PreprocessJob, teacher: Teacher | None = None) -> dict[str, Any]:
    """Make or update a dataset.

    Args:
        job: what is asked for.
        teacher: converts the recordings; None: the dataset has their own audio.
    Returns:
        The report, as written to report.json.
    Raises:
        DataError: if nothing is usable or another run works on the same dataset; a dataset that existed is unchanged.
    """
    run, entries = begin(job, teacher)
    is_new = not job.folder.exists()
    with lock_dataset(job.folder):
        compute(entries, run)
        try:
            return complete(entries, run)
        except DataError:
            if is_new:
                shutil.rmtree(job.folder, ignore_errors=True)
            raise


@contextmanager
def lock_dataset(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Lock a dataset against a second preprocess.py; the lock ends with the process, however it ends.

    Args:
        folder: the dataset.
        shared: let others with a shared lock in: the shards, which only add to the cache.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as stream:
        if not try_lock(stream, shared=shared):
            raise DataError(f"another preprocess.py is working on {folder}; wait for it or choose another dataset.name")
        yield
