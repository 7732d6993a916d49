"""Speak in a voice: python live.py voice=<file>.onnx  (python live.py --help explains the keys)."""

from utils.config import run_script
from utils.config.live import LiveJob


def main(job: LiveJob) -> None:
    """Convert until Ctrl-C, or list the sound devices."""
    from utils.live.program import run_live

    run_live(job)


if __name__ == "__main__":
    run_script(LiveJob, main)
