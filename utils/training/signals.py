"""Signals that ask a run to end: which they are, and what they do outside of its updates."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from utils.corpus.datamodule import STOP_SIGNALS
from utils.errors import StoppedBySignalError

ALWAYS = ("SIGTERM", "SIGINT", "SIGUSR1")


def heard_signals() -> list[int]:
    """Return the signals that ask this process to end.

    A closed terminal (SIGHUP), a spent limit of time (SIGXCPU) and SIGUSR2 do so unless whoever started the process let
    it ignore them, as nohup does.
    """
    return [
        number
        for number in STOP_SIGNALS
        if signal.Signals(number).name in ALWAYS or signal.getsignal(number) is not signal.SIG_IGN
    ]


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Before the first update and after the last one, let a signal end a run with the code of a stopped one.

    Without that a job that is pre-empted while it starts would end like one that failed, and not be queued again.
    Ctrl-C ends it as any program. During the updates callbacks.stop_on_signal takes over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        raise StoppedBySignalError(
            f"{name} received outside of the updates; what was saved before is there; continue with resume=auto"
        )

    earlier = {number: signal.signal(number, stop) for number in heard_signals() if number != signal.SIGINT}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
