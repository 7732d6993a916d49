"""Let a voice read a text: python say.py text="Hello." voice=<voice>  (python say.py --help explains the keys)."""

from utils.config import run_script
from utils.config.say import SayJob


def main(job: SayJob) -> None:
    """Read the text, convert what was read, say what was made."""
    from utils.console import emit
    from utils.speech.program import run_say

    run_say(job, emit)


if __name__ == "__main__":
    run_script(SayJob, main)
