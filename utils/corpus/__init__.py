"""From a folder of recordings to a dataset, and from a dataset to training batches."""

from typing import TYPE_CHECKING, Any

from utils.errors import ConfigError

if TYPE_CHECKING:
    from utils.config.preprocess import PreprocessJob
    from utils.corpus.report import ShardOutcome
    from utils.corpus.teacher import Teacher


def preprocess(job: "PreprocessJob", teacher: "Teacher | None" = None) -> "dict[str, Any] | ShardOutcome":
    """Make or update a dataset, or do what dataset.shard or dataset.merge ask for.

    Args:
        job: what is asked for.
        teacher: of dataset.teacher, see utils.distillation.open_teacher; None without that key.
    Returns:
        The report, as written to report.json; of a shard, what it did.
    Raises:
        ConfigError: if the job has a teacher and none is given.
        DataError: if nothing is usable or another run works on the same dataset; a dataset that existed is unchanged.
    """
    # torch takes seconds, which --help must not wait for
    from utils.corpus.merging import merge_shards, prepare_shard
    from utils.corpus.pipeline import prepare_dataset
    from utils.corpus.shards import Shard

    if job.dataset.teacher is not None and teacher is None:
        raise ConfigError(
            f"dataset.teacher={job.dataset.teacher}: give preprocess() what open_teacher(job) returns, too"
        )
    if job.dataset.shard is not None:
        return prepare_shard(job, Shard.parse(job.dataset.shard), teacher)
    if job.dataset.merge is not None:
        return merge_shards(job, job.dataset.merge, teacher)
    return prepare_dataset(job, teacher)
