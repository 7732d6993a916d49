"""Let a voice sing a song: python cover.py vocals=<file> instrumental=<file> voice=<voice>  (see --help)."""

from utils.config import run_script
from utils.config.cover import CoverJob


def main(job: CoverJob) -> None:
    """Convert the vocals, mix them with the rest, say what was made."""
    from utils.console import emit
    from utils.covers.program import run_cover

    run_cover(job, emit)


if __name__ == "__main__":
    run_script(CoverJob, main)
