"""Fuzzing tells a refusal from silence, a traceback and a crash, and draws the same inputs from the same seed."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

from benchmarks import fuzz_overrides
from benchmarks.fuzz import KINDS, is_wrong
from benchmarks.fuzz_files import _changed, _changed_structure, _changed_zip, saved
from benchmarks.fuzzing import CRASH, HANDLED, SILENT, TRACEBACK, Count, Trial, fuzz, try_alone
from utils.errors import ConfigError


def refuse(text: str) -> bool:
    raise ConfigError(text)


def fail() -> bool:
    raise KeyError("weights")


@pytest.mark.parametrize(
    ("read", "outcome", "text"),
    [
        (lambda: None, HANDLED, ""),
        (lambda: True, HANDLED, ""),
        (lambda: False, SILENT, "as if nothing was wrong"),
        (lambda: refuse("x is missing"), HANDLED, ""),
        (lambda: refuse("a\nb\nc"), TRACEBACK, "many lines"),
        (fail, TRACEBACK, "KeyError at test_fuzz.py"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), CRASH, "SIGSEGV"),
        (lambda: os._exit(3), CRASH, "exit code 3"),
        (lambda: time.sleep(60), CRASH, "not done after 0.3 s"),
    ],
)
def test_what_came_of_an_input_is_told(read: Callable[[], bool | None], outcome: str, text: str) -> None:
    found, said = try_alone(read, seconds=0.3 if "not done" in text else 30)

    assert (found, text in said) == (outcome, True)


def test_inputs_are_tried_until_the_time_or_the_number_is_over() -> None:
    def trials() -> Iterator[Trial]:
        while True:
            yield Trial("bad", lambda: False)

    assert fuzz(trials(), time.monotonic() + 60, most=3).row == [3, 0, 3, 0, 0]
    assert fuzz(trials(), time.monotonic()).row == [0, 0, 0, 0, 0]


def test_only_graphs_and_sounds_may_be_silent() -> None:
    silent, crashed = Count(Counter({SILENT: 1})), Count(Counter({SILENT: 1, CRASH: 1}))

    assert [is_wrong(kind, silent) for kind in KINDS] == [kind not in ("graphs", "audio") for kind in KINDS]
    assert is_wrong("graphs", crashed) and not is_wrong("overrides", Count(Counter({HANDLED: 9})))


def test_files_are_damaged_in_the_same_way_by_the_same_seed() -> None:
    content = {"weights": {"a": torch.ones(4), "b": [1, 2]}, "step": 3}
    good = saved(content)

    def draw() -> list[object]:
        drawn = random.Random(3)
        return [
            *(_changed(drawn, good) for _ in range(20)),
            *(_changed_zip(drawn, good)[0] for _ in range(2)),
            *(_changed_structure(drawn, content)[0] for _ in range(20)),
        ]

    assert draw() == draw()
    assert content["step"] == 3 and saved(content) == good


@pytest.mark.slow
def test_command_lines_are_drawn_from_the_seed_and_handled(tmp_path: Path) -> None:
    names = [[trial.name for trial in islice(fuzz_overrides.trials(seed, tmp_path), 20)] for seed in (1, 1, 2)]

    count = fuzz(fuzz_overrides.trials(1, tmp_path), time.monotonic() + 600, most=20)

    assert names[0] == names[1] != names[2]
    assert count.row == [20, 20, 0, 0, 0], count.wrong
