"""The typed configurations of all scripts, by the name of their root in configs/."""

from utils.config.cover import CoverJob
from utils.config.export import ExportJob
from utils.config.job import Job
from utils.config.live import LiveJob
from utils.config.preprocess import PreprocessJob
from utils.config.report import ReportJob
from utils.config.say import SayJob
from utils.config.studio import StudioJob
from utils.config.test_model import VoiceTrial
from utils.config.train import TrainJob

JOBS: dict[str, type[Job]] = {
    job.config_name: job
    for job in (PreprocessJob, TrainJob, ExportJob, VoiceTrial, ReportJob, StudioJob, LiveJob, SayJob, CoverJob)
}
