"""Make a dataset of a folder of recordings: python preprocess.py dataset.source=<folder> dataset.name=<name>"""

from omegaconf import DictConfig

from utils.config import given_keys, run_script
from utils.config.arguments import spell_paths


def main(config: DictConfig) -> None:
    """Preprocess, then show the report."""
    # imported late: --help and configuration errors need none of it
    from utils.config.preprocess import PreprocessJob
    from utils.console import emit
    from utils.corpus import preprocess
    from utils.corpus.report import ShardOutcome, report_text, shard_text

    job = PreprocessJob.from_config(config, given_keys())
    outcome = preprocess(job)
    emit(shard_text(outcome) if isinstance(outcome, ShardOutcome) else report_text(outcome, str(job.folder)))


if __name__ == "__main__":
    paths = ("dataset.source", "dataset.root", "dataset.name", "dataset.speaker")
    run_script("preprocess", main, spell=lambda arguments: spell_paths(arguments, paths, {}))
