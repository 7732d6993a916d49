"""Write the page that a job asks for."""

import time
from pathlib import Path
from typing import NamedTuple

from utils.audio.listing import list_audio, spread
from utils.config.report import ReportJob
from utils.evaluation.pairing import pair_files
from utils.files import check_new_file
from utils.reports.evaluated import MOST_SOURCES, paired_groups
from utils.reports.pages import Extras, dataset_page, export_page, run_page
from utils.reports.render import write_page
from utils.reports.sounds import Group, SoundMaker


class WrittenReport(NamedTuple):
    """A page that was written: its place, first line, size, and the seconds that it took."""

    place: Path
    verdict: str
    num_bytes: int
    seconds: float


def write_report(job: ReportJob) -> WrittenReport:
    """Write the page of a run, a dataset or an exported voice.

    Raises:
        ConfigError: if the folder is none of these, or the page cannot be written.
        FormatError: if a dataset is damaged.
        DataError: if sounds are asked for and there are none.
    """
    started = time.monotonic()
    check_new_file(job.place, "output")
    maker = SoundMaker()
    extras = Extras(job.evaluation.path, tuple(_asked_groups(job, maker)))
    if job.run is not None:
        page = run_page(job.run, extras, maker)
    elif job.dataset is not None:
        page = dataset_page(job.dataset, extras, maker)
    else:
        page = export_page(job.folder, extras, maker)
    num_bytes = write_page(page, job.place)
    return WrittenReport(job.place, page.verdict, num_bytes, time.monotonic() - started)


def _asked_groups(job: ReportJob, maker: SoundMaker) -> list[Group]:
    if job.converted is None or job.sources is None:
        return []
    sources = spread(list_audio(job.sources), MOST_SOURCES)
    pairs = pair_files(job.converted, sources, job.sources).found
    target = spread(list_audio(job.target), MOST_SOURCES) if job.target else []
    return paired_groups(maker, pairs, target, job.sources)
