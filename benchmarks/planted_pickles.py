"""Plant code into every kind of file that is a pickle inside: is any of it run where the file is read?

    python -m benchmarks.planted_pickles [--json FILE]

Each file is read twice: by a reader that trusts it (pickle, or torch with weights_only=False), which shows that the
planted code works, and by the reader of this workbench. All that the code does is to make an empty file. Printed for
each kind is how many were planted, how many ran when trusted, how many ran here, and how many were refused in one line;
the exit code is 1 if any ran here or one was not refused.
"""

import argparse
import builtins
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.options import BenchmarkParser, write_figures
from utils.command_line import run_program
from utils.console import emit, table
from utils.errors import WorkbenchError
from utils.rvc.archive import read_archive
from utils.rvc.clusters import read_clusters
from utils.rvc.reading import read_foreign
from utils.training.checkpoints import read_checkpoint

Call = tuple[Callable[..., Any], tuple[Any, ...]]
# what a malicious pickle calls, each with what makes an empty file
CALLS: dict[str, Callable[[Path], Call]] = {
    "os.system": lambda mark: (os.system, (f"touch {mark}",)),
    "os.open": lambda mark: (os.open, (str(mark), os.O_CREAT)),
    "os.mkdir": lambda mark: (os.mkdir, (str(mark),)),
    "subprocess.call": lambda mark: (subprocess.call, (["touch", str(mark)],)),
    "builtins.eval": lambda mark: (builtins.eval, (f"open({str(mark)!r}, 'w').close()",)),
    "builtins.exec": lambda mark: (builtins.exec, (f"open({str(mark)!r}, 'w').close()",)),
    "builtins.open": lambda mark: (builtins.open, (str(mark), "w")),
    "shutil.copy": lambda mark: (shutil.copy, (__file__, str(mark))),
    "pathlib.Path.touch": lambda mark: (Path.touch, (mark,)),
    "numpy.save": lambda mark: (np.save, (f"{mark}.npy", 0)),
}


class Planted:
    """Calls something when it is unpickled."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def __reduce__(self) -> Call:
        """Return what an unpickler calls."""
        return self.call


class Kind(NamedTuple):
    """A kind of file: its name, what stands in it beside the plant, and what reads it."""

    name: str
    content: Callable[[Any], Any]
    read: Callable[[Path], Any]
    is_archive: bool = True


def _weights(plant: Any) -> dict[str, Any]:
    return {"model": {"enc_p.emb.weight": torch.ones(4, 2), "planted": plant}, "iteration": 1}


def _centres(plant: Any) -> dict[str, Any]:
    return {"anna": {"cluster_centers_": np.ones((4, 2), dtype=np.float32)}, "bert": plant}


KINDS = (
    Kind("shared voice .pth", lambda plant: {"weight": {"a": torch.ones(2)}, "config": [plant]}, read_foreign),
    Kind("G_*.pth, D_*.pth", _weights, read_foreign),
    Kind("kmeans_*.pt", _centres, read_clusters),
    Kind("feature_and_index.pkl", lambda plant: {0: plant}, read_clusters, is_archive=False),
    Kind("checkpoint of a run", lambda plant: {"state_dict": {}, "hyper_parameters": plant}, read_checkpoint),
    Kind("encoder of fairseq", lambda plant: {"model": {"a": torch.ones(2)}, "cfg": plant}, read_archive),
)


def files_of(kind: Kind, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Write each planted file of a kind; yield it with the mark that its code would leave."""
    for number, make in enumerate(CALLS.values()):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            mark, path = folder / f"mark_{number}_{protocol}", folder / f"{number}_{protocol}.pth"
            content = kind.content(Planted(make(mark)))
            if kind.is_archive:
                torch.save(content, path, pickle_protocol=protocol)
            else:
                path.write_bytes(pickle.dumps(content, protocol=protocol))
            yield path, mark
            bare = folder / f"{number}_{protocol}_bare.pth"
            bare.write_bytes(pickle.dumps(content, protocol=protocol))  # as torch saved long ago, and as anybody may
            yield bare, mark


def left(mark: Path) -> bool:
    """Say whether the code of a mark was run, and remove what it left."""
    found = [path for path in (mark, Path(f"{mark}.npy")) if path.exists()]
    for path in found:
        path.rmdir() if path.is_dir() else path.unlink()
    return bool(found)


def trust(path: Path) -> None:
    """Read a file as a careless program does."""
    if path.read_bytes()[:2] == b"PK":
        torch.load(path, weights_only=False)
    else:
        pickle.loads(path.read_bytes())


def counts(kind: Kind, folder: Path) -> dict[str, int]:
    """Return how many files of a kind were planted, ran when trusted, ran here, and were refused in one line."""
    found = {"planted": 0, "ran when trusted": 0, "ran here": 0, "refused": 0}
    for path, mark in files_of(kind, folder):
        found["planted"] += 1
        trust(path)
        found["ran when trusted"] += left(mark)
        try:
            kind.read(path)
        except WorkbenchError as error:
            found["refused"] += "\n" not in str(error)
        found["ran here"] += left(mark)
    return found


def measure(options: argparse.Namespace) -> int:
    """Plant, read and print the counts; return the exit code."""
    report: dict[str, dict[str, int]] = {}
    warnings.filterwarnings("ignore", message="Detected pickle protocol")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            report[kind.name] = counts(kind, Path(folder))
    names = list(next(iter(report.values())))
    emit(table([[name, *(found[key] for key in names)] for name, found in report.items()], ["kind of file", *names]))
    write_figures(options, "planted_pickles", report)
    is_good = all(
        found["ran here"] == 0 and found["refused"] == found["ran when trusted"] == found["planted"]
        for found in report.values()
    )
    return 0 if is_good else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("planted_pickles", __doc__)
    parser.add_json()
    options = parser.parse_args(arguments)
    return run_program("planted_pickles", lambda: measure(options))


if __name__ == "__main__":
    sys.exit(main())
