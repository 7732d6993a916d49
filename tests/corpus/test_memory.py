"""A large dataset needs no more memory than a small one."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.data_loading import write_store

ROOT = Path(__file__).resolve().parents[2]
READ_MEGABYTES = 150
# reads seconds of clips at random and prints by how many MB private and resident memory (mapped files counted) grew
PROGRAM = """
import sys
import numpy as np
from utils.corpus.store import CorpusStore

def memory():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return np.array([float(lines[name].split()[0]) / 1e3 for name in ("RssAnon", "VmRSS")])

store, rng, read, number = CorpusStore.open(sys.argv[1]), np.random.default_rng(0), 0, 0
before = highest = memory()
while read < float(sys.argv[2]) * 1e6:
    clip = store.clips[rng.integers(len(store.clips))]
    first = int(rng.integers(clip.num_frames - 99))
    read += sum(store.feature(name, clip, first, 100).nbytes / 2 for name in ("content", "content_perturbed_0"))
    read += store.waveform(clip, first, 100).nbytes / 2
    number += 1
    if number % 20 == 0:
        highest = np.maximum(highest, memory())
print(*(highest - before))
"""


def growth(folder: Path) -> tuple[float, float]:
    """Return by how many MB private and resident memory grew at most while the dataset was read."""
    command = [sys.executable, "-c", PROGRAM, str(folder), str(READ_MEGABYTES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    private, resident = map(float, done.stdout.split())
    return private, resident


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to measure memory")
def test_ten_hours_need_no_more_memory_than_ten_minutes(tmp_path: Path) -> None:
    small, large = (write_store(tmp_path / str(minutes), minutes, is_sparse=True) for minutes in (10, 600))

    (small_private, small_resident), (large_private, large_resident) = growth(small), growth(large)

    assert large_private - small_private < 20
    assert large_resident - small_resident < 60
