"""What became of damaged files is counted as it was."""

import logging
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.damage import OUTCOMES, Change, changes, try_all
from benchmarks.damage_kinds import Kind
from utils.errors import FormatError

GOOD = bytes(range(7))


def read(path: Path) -> Any:
    """Read a file of which each byte, if changed, has another effect; returns one part, None if it is made again."""
    effect = next(
        (place for place, (new, old) in enumerate(zip(path.read_bytes(), GOOD, strict=True)) if new != old), 3
    )
    if effect == 0:
        raise FormatError(f"{path} is damaged")
    if effect == 1:
        logging.getLogger("here").warning("changed")
        return {"part": "other"}
    if effect == 5:
        raise ValueError("no line")
    if effect == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"part": None if effect == 2 else "other" if effect == 4 else "good"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="damaged files are read in a forked process")
def test_each_outcome_is_told_from_the_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(GOOD)

    outcomes = try_all(Kind("any", [path], lambda: read(path)), [Change(path, place, 200) for place in (*range(7), 0)])

    assert [outcome for outcome, _ in outcomes] == [*OUTCOMES, "refused"]
    assert path.read_bytes() == GOOD


def test_changes_follow_from_the_seed_and_change_something(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    kind = Kind("any", [path], lambda: None)

    first, second = (changes(kind, 50, random.Random(3)) for _ in range(2))

    assert first == second
    assert all(change.value != GOOD[change.place] for change in first)
