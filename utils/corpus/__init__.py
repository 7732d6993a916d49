"""From a folder of recordings to a dataset, and from a dataset to training batches."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from utils.config.preprocess import PreprocessJob
    from utils.corpus.report import ShardOutcome


def preprocess(job: "PreprocessJob") -> "dict[str, Any] | ShardOutcome":
    """Make or update a dataset, or do what dataset.shard or dataset.merge ask for.

    Returns:
        The report, as written to report.json; of a shard, what it did.
    Raises:
        DataError: if nothing is usable or another run works on the same dataset; a dataset that existed is unchanged.
    """
    # torch takes seconds, which --help must not wait for
    from utils.corpus.merging import merge_shards, prepare_shard
    from utils.corpus.pipeline import prepare_dataset
    from utils.corpus.shards import Shard

    if job.dataset.shard is not None:
        return prepare_shard(job, Shard.parse(job.dataset.shard))
    if job.dataset.merge is not None:
        return merge_shards(job, job.dataset.merge)
    return prepare_dataset(job)
