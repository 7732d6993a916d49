"""Runs a script without the rules of verification that listen to speech: python unheard.py <script> ...

For tests of what a program does, in a process; what listening finds is tried elsewhere, and `make smoke` exports as
users do. See tests/conftest.py; `pytest --listening` makes this listen, too.
"""

import os
import runpy
import sys
from pathlib import Path

LISTENING = "TESTS_LISTEN"  # environment variable: 1 with pytest --listening
UNHEARD = Path(__file__).resolve()


def leave_out_listening() -> None:
    """Make exports that this process verifies leave out those rules, unless a program asks for them."""
    from utils.verification.candidate import Extent

    assert Extent.__init__.__kwdefaults__ is not None
    Extent.__init__.__kwdefaults__["listens"] = os.environ.get(LISTENING) == "1"


def main() -> None:
    """Run the script."""
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    leave_out_listening()
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
