"""What a training asks of the machine."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from utils.training.devices import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(1 << 22)  # 32 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_freed_memory() if sys.argv[1] == "keep" else False
faults()
print(kept, faults())
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings; other systems have none")
def test_freed_memory_is_kept_for_the_next_update() -> None:
    plain, kept = (
        subprocess.run([sys.executable, "-c", FAULTS, word], capture_output=True, text=True, check=True).stdout.split()
        for word in ("plain", "keep")
    )

    if kept[0] != "True":
        pytest.skip("the C library here is not glibc")
    assert int(kept[1]) < 50
    assert int(plain[1]) > 10 * int(kept[1])
