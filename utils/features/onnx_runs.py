"""Runs of an ONNX file that somebody brought: within a time, as a graph may hold a loop that never ends."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from utils.errors import ConfigError

SECONDS, SECONDS_PER_MILLION = 60.0, 300.0  # a minute, and 5 more for each million of numbers that go in


def run_within(
    session: Any, outputs: Sequence[str] | None, feed: Mapping[str, np.ndarray], what: str, seconds: float | None = None
) -> list[Any]:
    """Run a graph.

    Args:
        session: of onnxruntime.
        outputs: names of what is wanted; None for all.
        feed: inputs by name.
        what: words for the file, for the message.
        seconds: limit; None: by the size of the input.
    Raises:
        ConfigError: if the time is up.
    """
    import onnxruntime

    limit = seconds or SECONDS + SECONDS_PER_MILLION * sum(value.size for value in feed.values()) / 1e6
    options, is_over = onnxruntime.RunOptions(), threading.Event()

    def end() -> None:
        is_over.set()
        options.terminate = True

    timer = threading.Timer(limit, end)
    timer.daemon = True
    timer.start()
    try:
        results: list[Any] = session.run(outputs, dict(feed), options)
    except Exception as error:  # onnxruntime has a kind for each reason, without a common base
        if is_over.is_set():
            raise ConfigError(f"{what} runs for more than {limit:.0f} s; it was ended, take another file") from error
        raise
    finally:
        timer.cancel()
    return results
