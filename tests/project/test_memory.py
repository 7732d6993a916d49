"""Memory of this process and of the machine."""

import mmap

import numpy as np

from utils.memory import available_bytes, peak_bytes, reset_peak, resident_bytes, total_bytes


def test_memory_of_this_process_can_be_read() -> None:
    size = 160_000_000
    before = resident_bytes()

    # asked for by itself: the C library could take it from what it kept of earlier tests (keep_freed_memory)
    with mmap.mmap(-1, size) as held:
        pages = np.frombuffer(held, np.uint8)
        pages[:] = 1
        grown = resident_bytes() - before
        del pages

    assert grown > 0.5 * size  # other memory of the process may be given back or swapped out meanwhile


def test_peak_is_at_least_what_is_resident() -> None:
    reset_peak()

    assert peak_bytes() >= 0.9 * resident_bytes()


def test_machine_has_more_memory_than_is_available_and_more_than_this_process() -> None:
    assert resident_bytes() < total_bytes()
    assert 0 < available_bytes() <= total_bytes()
