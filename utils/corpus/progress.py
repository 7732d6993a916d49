"""How far a stage of preprocessing is."""

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(total: float, label: str, unit: str) -> "tqdm[Any]":
    """Return a bar that a terminal redraws often and a log file seldom; a stage that is done at once shows none."""
    interval = 0.2 if sys.stderr.isatty() else 10.0
    layout = "{desc}: {percentage:3.0f}% |{bar}| {n:.0f}/{total:.0f} {unit} [{elapsed} < {remaining}]"
    return tqdm(
        total=total,
        desc=label,
        unit=unit,
        mininterval=interval,
        delay=0.5,
        disable=not total,
        dynamic_ncols=True,
        bar_format=layout,
    )
