"""The priority of a live conversion."""

import os
import subprocess
import sys

import pytest

from utils.live import priority

linux = pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="this system has no real-time classes")


@linux
def test_real_time_is_asked_for_and_threads_inherit_it() -> None:
    program = (
        "import os, threading\nfrom utils.live.priority import come_first\n"
        "seen = []\nsaid = come_first()\n"
        "thread = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(0)))\n"
        "thread.start()\nthread.join()\n"
        "print(said, seen[0] == os.SCHED_RR, os.getpriority(os.PRIO_PROCESS, 0))"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()

    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert said in {f"real time True {usual}", "nice -10 False -10", f"None False {usual}"}


def test_a_system_that_refuses_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError

    for name in ("sched_setscheduler", "setpriority"):
        monkeypatch.setattr(os, name, refuse, raising=False)

    assert sys.platform == "win32" or priority.come_first() is None


@linux
def test_without_real_time_it_is_nicer_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []

    def refuse(*arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "setpriority", lambda *arguments: asked.append(arguments))

    assert priority.come_first() == "nice -10"
    assert asked == [(os.PRIO_PROCESS, 0, -10)]
