"""Make a dataset of a folder of recordings: python preprocess.py dataset.source=<folder> dataset.name=<name>"""

from omegaconf import DictConfig

from utils.config import given_keys, run_script
from utils.config.arguments import spell_paths


def main(config: DictConfig) -> None:
    """Preprocess, then show the report."""
    # imported late: --help and configuration errors need none of it
    from utils.config.preprocess import PreprocessJob
    from utils.console import emit
    from utils.corpus.merging import merge_shards, prepare_shard
    from utils.corpus.pipeline import preprocess
    from utils.corpus.report import report_text, shard_text
    from utils.corpus.shards import shard_task

    job = PreprocessJob.from_config(config, given_keys())
    task = shard_task(job)
    if task.shard is not None:
        emit(shard_text(prepare_shard(job, task.shard), str(task.shard), task.shard.count))
        return
    report = preprocess(job) if task.merge is None else merge_shards(job, task.merge)
    emit(report_text(report, str(job.folder)))


if __name__ == "__main__":
    paths = ("dataset.source", "dataset.root", "dataset.name", "dataset.speaker")
    run_script("preprocess", main, spell=lambda arguments: spell_paths(arguments, paths, {}))
