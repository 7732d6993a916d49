"""How far a job is."""

import os
from pathlib import Path

import pytest

from studio.progress import Progress, progress_of

BAR = "content:  42% |####      | 21/50 files [00:10 < 00:14]"


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("step 40/292  mel 0.54  2.45 steps/s  1:43 left\nsaved", Progress(40, 292, "steps", "1:43", "training")),
        (
            "step 40/292\nstep 50/292  2 steps/s  2 d 3:05:00 left",
            Progress(50, 292, "steps", "2 d 3:05:00", "training"),
        ),
        (f"reading\n{BAR}\n", Progress(21, 50, "files", "00:14", "content")),
        ("nothing of it", None),
        ("", None),
    ],
)
def test_the_last_line_that_tells_it_counts(log: str, found: Progress | None, tmp_path: Path) -> None:
    assert progress_of(["train.py"], log, tmp_path, 0.0) == found


def test_the_figures_of_a_run_are_ahead_of_its_log(tmp_path: Path) -> None:
    figures = tmp_path / "all" / "mine" / "metrics.csv"
    figures.parent.mkdir(parents=True)
    figures.write_text("step,x\n20,1\n60,\n", "utf-8")
    os.utime(figures, (1000, 1000))
    arguments = ["train.py", "run.name=mine", "run.root=all"]

    now, before = (progress_of(arguments, "step 40/100", tmp_path, moment) for moment in (999.0, 1001.0))

    assert now is not None and before is not None
    assert (now.done, now.share) == (60, 0.6)
    assert before.done == 40  # written by an earlier run
