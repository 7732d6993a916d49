"""Voices that the real scripts prepare, train, export and convert with, inside a work folder."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scripts.pipeline import Pipeline, as_typed, empty_folder, only_file, run_script
from utils.corpus.store import CorpusStore

NUM_TARGET_CLIPS = 20  # recordings of the target that conversions are compared with
log = logging.getLogger(__name__)


class TargetVoices:
    """Voices of one target; what is already there is reused, see Pipeline.

    Args:
        target: recordings of the voice.
        work: folder that receives datasets/, runs/ and exports/.
        root: folder of prepared datasets, where it is not datasets/ in `work`.
    """

    def __init__(self, target: Path, work: Path, root: Path | None = None) -> None:
        self.target, self.work = target.resolve(), work
        self._root = root or Path("datasets")
        self._rooted = [] if root is None else [f"dataset.root={root}"]
        self.pipeline = Pipeline(work / "state.json", work)

    def prepare(
        self, dataset: str = "target", overrides: Sequence[str] = (), *, source: Path | None = None
    ) -> list[Path]:
        """Prepare a dataset; returns the recordings of the target that it holds out.

        Args:
            dataset: its name.
            overrides: for preprocess.py.
            source: recordings of this dataset, where they are not all of the target's.
        """
        folder, source = self._root / dataset, source or self.target
        names = [f"dataset.source={source}", f"dataset.name={dataset}", "dataset.speaker=target"]
        stage = "preprocess" if dataset == "target" else f"preprocess {dataset}"
        self.pipeline.run(stage, ["preprocess.py", *names, *self._rooted, *overrides], [folder / "dataset.json"])
        store = CorpusStore.open(self.work / folder)
        return sorted({source / clip.source for clip in store.split("val")})

    def train(self, run: str, overrides: Sequence[str], dataset: str = "target") -> Path:
        """Train; returns the run's folder."""
        folder = Path("runs") / run
        command = ["train.py", f"dataset.name={dataset}", f"run.name={run}", *overrides]
        self.pipeline.run(f"train {run}", command, [folder / "metrics.json"], run_folder=folder)
        return self.work / folder

    def export(self, run: str) -> Path:
        """Export a run; returns the graph."""
        folder = Path("exports") / run
        command = ["export_onnx.py", f"run={Path('runs') / run}", f"name={run}"]
        self.pipeline.run(f"export {run}", command, [folder / "card.json"])
        return only_file(self.work / folder, "*.onnx")


def held_out_mel(run: Path, which: str = "best") -> float:
    """Return the held-out mel loss of a run's best or last weights."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return float(metrics[which]["val/mel"])


class Conversion(NamedTuple):
    """The folder of converted files, and the report of test_model.py."""

    folder: Path
    report: dict[str, Any]


def convert(onnx: Path, sources: Path, work: Path) -> Conversion:
    """Convert the recordings of a folder with test_model.py."""
    output, report = empty_folder(work / "converted"), work / "conversion.json"
    command = ["test_model.py", f"onnx={onnx}", f"audio={sources}", f"output={output}", f"report={report}",
               "pitch_shift=auto"]  # fmt: skip
    log.info(as_typed(command))
    run_script(command, work)
    return Conversion(output, json.loads(report.read_text(encoding="utf-8")))
