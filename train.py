"""Train a voice: python train.py dataset.name=<name>  (python train.py --help explains the groups)."""

from utils.config import run_script
from utils.config.train import TrainJob


def main(job: TrainJob) -> float | None:
    """Train; return the held-out figure of the run's best.ckpt, which a sweep minimises."""
    from utils.reports.background import BackgroundReport
    from utils.training import train
    from utils.training.summary import best_held_out

    report = BackgroundReport() if job.trainer.report else None
    run = train(job, after_validation=report)
    if report is not None:
        report.finish()
    return best_held_out(run)


if __name__ == "__main__":
    run_script(TrainJob, main)
