"""The run's figures as a table: one row a step, whatever wrote them, also after a run was killed and resumed."""

import csv
import io
import math
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from utils.files import atomic_write_text
from utils.training.metrics_table import STEP, read_rows


class CsvLogger(Logger):
    """Writes metrics.csv: the column `step`, then one for each figure; a cell is empty where nothing was measured.

    Figures of one step stand in one row. The last row is written anew as they come; a figure that was never seen
    before makes the file be written anew with one more column.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._columns: list[str] = []
        self._row: dict[str, str] = {}
        self._start_of_row = 0

    @property
    def name(self) -> str:
        """Name of this logger; there is one in a run."""
        return "csv"

    @property
    def version(self) -> str:
        """Version of this logger, which has none."""
        return ""

    @property
    def save_dir(self) -> str:
        """Folder of the file."""
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml beside the table has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add figures to the row of a step; a later value of the same figure replaces the earlier."""
        if step is None:
            raise ValueError("a row of the table needs its step")
        added = {key: _text(float(value)) for key, value in metrics.items()}
        if self._row and step < int(self._row[STEP]):
            self._add_to_earlier(step, added)
            return
        is_new_row = self._row.get(STEP) != str(step)
        self._row = ({STEP: str(step)} if is_new_row else self._row) | added
        unseen = [key for key in added if key not in self._columns]
        if unseen or not self._columns:
            self._widen(unseen, is_new_row)
        else:
            self._write_row(is_new_row)

    @rank_zero_only
    def restart(self, step: int) -> None:
        """Continue an existing table after a step: rows that an interrupted run wrote beyond it are removed.

        So are a row that was cut off while it was written and a file of another origin.
        """
        rows = read_rows(self.path)
        kept = [row for row in rows if int(row[STEP]) <= step]
        self._columns = [STEP, *[key for key in (rows[0] if rows else {}) if key != STEP]]
        self._rewrite(kept)

    def _add_to_earlier(self, step: int, added: dict[str, str]) -> None:
        """Put figures that come late into the row of their step."""
        rows = read_rows(self.path)
        row = next((row for row in rows if int(row[STEP]) == step), None)
        if row is None:
            row = {STEP: str(step)}
            rows.insert(sum(int(other[STEP]) < step for other in rows), row)
        row |= added
        self._columns += sorted(key for key in added if key not in self._columns)
        self._rewrite(rows)

    def _widen(self, unseen: list[str], is_new_row: bool) -> None:
        rows = read_rows(self.path) if self._columns else []
        if not is_new_row:
            rows = rows[:-1]
        self._columns = (self._columns or [STEP]) + sorted(unseen)
        self._rewrite([*rows, self._row])

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        lines = [self._line(dict(zip(self._columns, self._columns, strict=True))), *[self._line(row) for row in rows]]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(self.path, "".join(lines))
        self._row = rows[-1] if rows else {}
        self._start_of_row = len("".join(lines[: len(rows)]).encode())

    def _write_row(self, is_new_row: bool) -> None:
        with self.path.open("r+b") as stream:
            if is_new_row:
                self._start_of_row = stream.seek(0, io.SEEK_END)
            stream.seek(self._start_of_row)
            stream.write(self._line(self._row).encode())
            stream.truncate()

    def _line(self, row: dict[str, str]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow([row.get(key, "") for key in self._columns])
        return text.getvalue()


def _text(value: float) -> str:
    """Return a number with seven digits."""
    return f"{value:.7g}" if math.isfinite(value) else str(value)
