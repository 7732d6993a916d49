"""Open the studio, the workbench in a browser: python studio.py  (python studio.py --help explains the keys)."""

from utils.config import run_script
from utils.config.studio import StudioJob


def main(job: StudioJob) -> None:
    """Serve the pages until Ctrl-C."""
    from studio.app import serve

    serve(job)


if __name__ == "__main__":
    run_script(StudioJob, main)
