"""Make a dataset of a folder of recordings: python preprocess.py dataset.source=<folder> dataset.name=<name>"""

from utils.config import run_script
from utils.config.preprocess import PreprocessJob


def main(job: PreprocessJob) -> None:
    """Preprocess, then show the report."""
    # imported late: --help and configuration errors need none of it
    from utils.console import emit
    from utils.corpus import preprocess
    from utils.corpus.report import ShardOutcome, report_text, shard_text

    outcome = preprocess(job)
    emit(shard_text(outcome) if isinstance(outcome, ShardOutcome) else report_text(outcome, str(job.folder)))


if __name__ == "__main__":
    run_script(PreprocessJob, main)
