"""The part of benchmarks.interop for generators: graphs of export=wokada and deiteris in their programs' loaders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.interop_asking import PROGRAMS, ask, difference_db
from utils.config.export import export_job
from utils.export import export
from utils.export.rvc.imported_voice import load_imported_network

CLIENTS = ("wokada", "deiteris")
TRIED = ("v1 40k", "v2 32k", "v2 40k", "v2 48k", "v2 40k without f0")
# deiteris' own class for graphs without f0 reads an attribute that it never sets, and stops at every file
NOT_THERE = {"deiteris": ("v2 40k without f0",)}
WORST_DB = -80.0


def check_graphs(program: str, folder: Path, written: Mapping[str, Path], work: Path) -> tuple[list[list[str]], bool]:
    """Export voices for a client and let its own loader run the graphs; return rows, and whether all is as it must be.

    Args:
        program: of CLIENTS.
        folder: of the program.
        written: voices .pth by name, each with inputs.npz beside it.
        work: for files.
    """
    voices = {name: path for name, path in written.items() if name in TRIED}
    place = work / "graphs"
    tasks = [
        {
            "graph": str(_exported(program, path, place / name)),
            "inputs": str(path.parent / "inputs.npz"),
            "out": str(place / name / "out"),
        }
        for name, path in voices.items()
    ]
    rows, is_good = [], True
    for (name, path), task, facts in zip(voices.items(), tasks, ask(program, folder, tasks, place), strict=True):
        what = f"graph of {name}"
        if "error" in facts:
            rows.append([PROGRAMS[program], what, f"refused ({facts['error'][:70]})", "", "", ""])
            is_good &= name in NOT_THERE.get(program, ())
            continue
        there = difference_db(_audio_of(path), np.load(Path(task["out"]) / "audio.npy"))
        said = f"rate {facts['rate']}, {facts['type']}, version {facts['version']}, encoder {facts['encoder']}"
        rows.append([PROGRAMS[program], what, said, f"{there:.0f}", "", "it saves none"])
        is_good &= there < WORST_DB
    return rows, is_good


def _exported(program: str, voice: Path, place: Path) -> Path:
    order = export_job([f"export={program}", "name=voice"])
    outcome = export(order.with_values({"voice": str(voice), "export.root": str(place)}))
    return next(path for path in outcome.files if path.suffix == ".onnx")


def _audio_of(path: Path) -> np.ndarray:
    """Return the audio [N] of a voice with its own tables of noise, within full scale as these graphs give it."""
    network: Any = load_imported_network(path).model
    given = {name: torch.from_numpy(value) for name, value in np.load(path.parent / "inputs.npz").items()}
    with torch.no_grad():
        audio = network.inference(given["phone"], given["f0"], torch.zeros_like(given["f0"]), given["speaker"])
    made: np.ndarray = audio.flatten().clamp(-1.0, 1.0).numpy()
    return made
