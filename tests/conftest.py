"""What holds for every test."""

import logging
import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.tools.unheard import LISTENING, leave_out_listening

if TYPE_CHECKING:  # torch takes seconds, which a run of fast tests alone need not wait for
    from utils.export.graph_kinds import ExportedGraph

# one thread, here and in the scripts that tests start: small networks are faster so, and sums have one order
os.environ.setdefault("OMP_NUM_THREADS", "1")

# a terminal's end is ignored under nohup, and by all that is started there; some tests send this signal
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# fork processes, or end them by signals that Windows does not have
POSIX_ALONE = [
    "benchmarks/test_fuzz.py", "corpus/test_workers.py", "export/test_staging.py", "project/test_files.py",
    "training/test_exact_resume.py", "training/test_processes.py", "training/test_run_lock.py",
    "training/test_signals.py",
]  # fmt: skip
# begun with, in this order: trainings, exports and what tries whole graphs
LONGEST_FILES = [
    "unchanged/test_unchanged.py", "export/test_voice.py", "verification/test_stream_rules.py",
    "export/test_foreign_architectures.py", "corpus/test_damage.py",
]  # fmt: skip
collect_ignore = POSIX_ALONE if os.name == "nt" else []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --listening: exports of tests are listened to as those of users are."""
    parser.addoption(
        "--listening", action="store_true", help="try the rules that listen to speech in every export, too"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say at the end of each run what verification did in it."""
    if not config.getoption("--listening"):
        terminalreporter.write_line(
            "verification left out the rules that listen to speech, but where a test asks for them by "
            "Extent(listens=True); pytest --listening tries them everywhere"
        )


@pytest.fixture(scope="session", autouse=True)
def _exports_are_not_listened_to(pytestconfig: pytest.Config) -> None:
    """Leave out the rules that listen to speech, unless a test or --listening asks for them.

    They cost seconds on each graph, and the small networks of tests say nothing. Scripts that tests start as programs
    listen as always, but those that are started by tests/tools/unheard.py.
    """
    os.environ[LISTENING] = "1" if pytestconfig.getoption("--listening") else "0"
    leave_out_listening()


@pytest.fixture(scope="session")
def small_stream(tmp_path_factory: pytest.TempPathFactory) -> "ExportedGraph":
    """A verified graph of a small untrained voice for streams, made once for all tests: they only read it."""
    from tests.tools.streaming_tools import export_small_stream

    return export_small_stream(tmp_path_factory.mktemp("stream"))


@pytest.fixture(autouse=True)
def _log_ends_with_its_test() -> Iterator[None]:
    """Remove the handler of a program that a test ran: it would write to a stream that is closed."""
    before = list(logging.root.handlers)
    yield
    for handler in logging.root.handlers[:]:
        if handler not in before and type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no process ends alone; skip tests marked gpu without a CUDA device."""
    ranks = {name: rank for rank, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: ranks.get("/".join(item.path.parts[-2:]), len(ranks)))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
