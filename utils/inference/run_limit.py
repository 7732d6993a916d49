"""A limit for the time of a run: a graph of a stranger may hold a loop that never ends."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import onnxruntime

from utils.errors import FormatError

LOOK_SECONDS = 1.0


class RunLimit:
    """Ends runs of onnxruntime that take too long; one thread looks after all runs that go on at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[int, tuple[float, onnxruntime.RunOptions]] = {}
        self._count = 0
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float, options: onnxruntime.RunOptions, what: str) -> Iterator[None]:
        """Let what runs with these options take so long.

        Args:
            seconds: of the clock.
            options: that the run is given.
            what: words for it, for the message.
        Raises:
            FormatError: in place of what the run raised, if it was ended.
        """
        end = time.monotonic() + seconds
        with self._lock:
            self._count += 1
            number = self._count
            self._ends[number] = end, options
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, daemon=True)
                self._thread.start()
        try:
            yield
        except Exception as error:
            if time.monotonic() < end:
                raise
            raise FormatError(f"{what} did not end within {seconds:.0f} s; take another file") from error
        finally:
            with self._lock:
                self._ends.pop(number, None)

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                if not self._ends:
                    self._thread = None
                    return
                for end, options in self._ends.values():
                    options.terminate = options.terminate or time.monotonic() > end
