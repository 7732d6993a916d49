"""What a training asks of the machine."""

import subprocess
import sys

import pytest
import torch

from utils.config.train import train_job
from utils.errors import ConfigError
from utils.training import devices
from utils.training.checks import check_machine
from utils.training.devices import Loading, choose_loading, describe_loading

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


@pytest.mark.parametrize(
    ("device", "processors", "overrides", "expected"),
    [
        ("cpu", 2, [], Loading(0, False)),
        ("cpu", 64, [], Loading(0, False)),
        ("cpu", 2, ["data.num_workers=2"], Loading(2, False)),
        ("cuda", 16, [], Loading(4, True)),
        ("cuda", 2, [], Loading(1, True)),
        ("cuda", 1, [], Loading(0, True)),
        ("cuda", 16, ["trainer.devices=4", "data.batch_size=16"], Loading(3, True)),
        ("cuda", 16, ["data.num_workers=0", "data.pin_memory=false"], Loading(0, False)),
        ("cuda", 16, ["data.device_cache=true"], Loading(0, False)),
    ],
)
def test_loading_chooses_itself_where_nothing_is_said(
    device: str, processors: int, overrides: list[str], expected: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "first_device", lambda job: torch.device(device))
    monkeypatch.setattr(devices, "available_workers", lambda: processors)

    assert choose_loading(train_job(overrides)) == expected


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "data.num_workers=0, data.pin_memory=false (chosen for cpu with 2 processor(s))"),
        (["data.num_workers=1"], "data.num_workers=1, data.pin_memory=false (chosen for cpu with 2 processor(s), but "),
        (["data.num_workers=0", "data.pin_memory=false"], "(as given)"),
    ],
)
def test_choice_of_loading_is_said(overrides: list[str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_workers", lambda: 2)

    assert words in describe_loading(train_job(["trainer.accelerator=cpu", *overrides]))


def test_pinned_memory_without_a_gpu_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"data\.pin_memory=true needs a GPU") as caught:
        check_machine(train_job(["trainer.accelerator=cpu", "data.pin_memory=true"]))

    assert "\n" not in str(caught.value)
