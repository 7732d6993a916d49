"""Which signals ask a run to end."""

import os
import signal

import pytest

from utils.errors import StoppedBySignalError
from utils.training.signals import heard_signals, stopped_by_signals

LATER = [signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR2]


@pytest.mark.parametrize("sent", LATER)
def test_a_signal_that_was_ignored_from_the_start_stays_so(sent: signal.Signals) -> None:
    before = signal.signal(sent, signal.SIG_IGN)  # as nohup does
    try:
        assert sent not in heard_signals()
        with stopped_by_signals():
            os.kill(os.getpid(), sent)
        assert signal.getsignal(sent) is signal.SIG_IGN
    finally:
        signal.signal(sent, before)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1, *LATER])
def test_a_signal_outside_of_the_updates_ends_a_run_with_the_code_of_a_stopped_one(sent: signal.Signals) -> None:
    before = signal.getsignal(sent)

    with (
        pytest.raises(StoppedBySignalError, match=f"{sent.name} received outside of the updates"),
        stopped_by_signals(),
    ):
        os.kill(os.getpid(), sent)

    assert signal.getsignal(sent) is before
