"""Make a dataset of a folder of recordings: python preprocess.py dataset.source=<folder> dataset.name=<name>"""

from utils.config import run_script
from utils.config.preprocess import PreprocessJob


def main(job: PreprocessJob) -> None:
    """Preprocess, show the report, and examine the dataset."""
    # imported late: --help and configuration errors need none of it
    from utils.console import emit
    from utils.corpus import preprocess
    from utils.corpus.report import ShardOutcome, report_text, shard_text

    if job.doctor != "only":
        teacher = None
        if job.dataset.teacher is not None:
            from utils.distillation import open_teacher

            teacher = open_teacher(job)
        outcome = preprocess(job, teacher)
        emit(shard_text(outcome) if isinstance(outcome, ShardOutcome) else report_text(outcome, str(job.folder)))
        if isinstance(outcome, ShardOutcome):
            return
    if job.doctor:
        from utils.doctor.examine import examine_dataset

        emit(examine_dataset(job))


if __name__ == "__main__":
    run_script(PreprocessJob, main)
