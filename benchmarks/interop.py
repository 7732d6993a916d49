"""Run the real loaders and savers of other programs on our files, and ours on theirs, and print the differences.

    python -m benchmarks.interop --applio <checkout> --rvc-webui <checkout> --rvc-next <package> --wokada <checkout>
        --deiteris <checkout> [--work <folder>]

Each program is given by the folder of its checkout, rvc-next by the folder in which its package lies; those that are
not given are left out. Voices of each vocoder, version and rate with random weights are written as export=rvc_pth does,
loaded by the program and run by its network with all noise switched off; then the program saves what it loaded,
and we load that. Programs that blend voices blend two of ours. Printed is the RMS of the difference beside that of the
audio, in dB. The exit code is 1 where a voice that a program must take is refused, or a difference is above -80 dB.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.options import BenchmarkParser
from scripts.pipeline import empty_folder
from utils.command_line import run_program
from utils.config.train import train_job
from utils.console import emit, table
from utils.errors import WorkbenchError
from utils.export.blending import Blend
from utils.export.rvc.blended_files import blended_file
from utils.export.rvc.imported_voice import load_imported_network
from utils.features.index import IndexOptions, build_index, save_index
from utils.rvc.layout import PUBLISHED, Published, legacy_state
from utils.rvc.reading import read_foreign
from utils.rvc.writing import VoiceRecord, voice_content

FRAMES, WORST_DB, SHARE = 40, -80.0, 0.3
NAMES = ("anna", "bert", "carl")
PROGRAMS = {
    "applio": "Applio", "rvc_webui": "RVC-WebUI", "rvc_next": "rvc-next", "wokada": "w-okada's voice changer",
    "deiteris": "deiteris' voice changer",
}  # fmt: skip


class Voice(NamedTuple):
    """A voice that is tried: our name for its network, whether it is told the pitch, and who must take it."""

    name: str
    published: Published
    has_f0: bool
    takers: tuple[str, ...]


ALL = tuple(PROGRAMS)


def voices(chosen: Sequence[str] = ()) -> list[Voice]:
    """Return what is tried; of those that are chosen, if any are."""
    wanted = {
        "v1 40k": ALL, "v2 32k": ALL, "v2 40k": ALL, "v2 48k": ALL, "v2 24k": ALL,
        "v2 48k MRF HiFi-GAN": ("applio",), "v2 32k RefineGAN": ("applio",),
    }  # fmt: skip
    found = [Voice(item.name, item, True, wanted[item.name]) for item in PUBLISHED if item.name in wanted]
    without = next(item for item in PUBLISHED if item.name == "v2 40k")
    # deiteris' own loader of these stops with a TypeError at every file
    found.append(Voice("v2 40k without f0", without, False, tuple(name for name in ALL if name != "deiteris")))
    return [voice for voice in found if not chosen or voice.name in chosen]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("interop", __doc__)
    for name, words in PROGRAMS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, help=f"folder of {words}")
    parser.add_argument("--work", type=Path, help="folder for the files, kept afterwards; default: a temporary one")
    parser.add_argument("--voices", nargs="*", default=[], help=f"of {', '.join(voice.name for voice in voices())}")
    options = parser.parse_args(arguments)
    return run_program("interop", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    folders = {name: getattr(options, name) for name in PROGRAMS if getattr(options, name) is not None}
    with tempfile.TemporaryDirectory() as temporary:
        work = empty_folder(options.work) if options.work else Path(temporary)
        return check(folders, work, voices(options.voices))


def check(folders: dict[str, Path], work: Path, tried: Sequence[Voice]) -> int:
    """Try voices with every program, and a blend of two of the first kind; print the table, return the exit code."""
    torch.set_num_threads(1)
    written = {voice.name: write_voice(voice, work / voice.name) for voice in tried}
    pair = [written[tried[0].name], write_voice(tried[0], work / "other", scale=1.01)]
    rows, is_good = [], True
    for program, folder in folders.items():
        facts = ask(program, folder, written, pair, work)
        for voice in tried:
            row, fits = judged(voice, written[voice.name], facts[voice.name], work / program / voice.name)
            rows.append([PROGRAMS[program], voice.name, *row])
            is_good &= fits or program not in voice.takers
        rows.append([PROGRAMS[program], f"blend of two {tried[0].name}", *judged_blend(pair, facts["blend"])])
        emit(f"{PROGRAMS[program]}: replaced by empty modules: {', '.join(facts['blend']['replaced']) or 'none'}")
    emit(table(rows, ["program", "voice", "it says", "ours there (dB)", "its file here (dB)", "its file is read as"]))
    return 0 if is_good else 1


def write_voice(voice: Voice, folder: Path, *, scale: float = 1.0) -> Path:
    """Write a voice of random weights as export=rvc_pth does, with its inputs and an index beside it."""
    folder.mkdir(parents=True)
    model, audio = voice.published.options
    dim = 256 if voice.published.version == "v1" else 768
    torch.manual_seed(0)
    words = [f"model={model}", f"audio={audio}", f"model.use_f0={str(voice.has_f0).lower()}"]
    network = train_job(words).model.build(content_dim=dim, num_speakers=len(NAMES))
    weights = {name: scale * value for name, value in legacy_state(network.state_dict()).items()}
    record = VoiceRecord(
        name="bob", published=voice.published, has_f0=voice.has_f0, epoch=3, step=30, speakers=NAMES,
        embedder="contentvec", f0_convention="zero_unvoiced", dataset_seconds=600.0,
        created="2026-12-01T00:00:00.000000", own={},
    )  # fmt: skip
    torch.save(voice_content(weights, record), folder / "bob.pth")
    random = np.random.default_rng(0)
    f0 = np.where(np.arange(FRAMES) % 10 < 7, 120.0 + 3.0 * np.arange(FRAMES), 0.0).astype(np.float32)[None]
    mel, low, high = (1127 * np.log1p(np.asarray(hz) / 700) for hz in (f0, 50.0, 1100.0))
    coarse = np.rint(np.clip((mel - low) * 254 / (high - low) + 1, 1, 255)).astype(np.int64)
    np.savez(
        folder / "inputs.npz", phone=random.normal(size=(1, FRAMES, dim)).astype(np.float32),
        lengths=np.array([FRAMES]), f0=f0, coarse=coarse, speaker=np.array([1]),
    )  # fmt: skip
    index = build_index([random.normal(size=(50, dim)).astype(np.float32)], None, IndexOptions(kind="flat"))
    save_index(index, folder / "bob.index")
    return folder / "bob.pth"


def ask(
    program: str, folder: Path, written: dict[str, Path], pair: Sequence[Path], work: Path
) -> dict[str, dict[str, Any]]:
    """Let a program load and save everything; return what it said of each voice, and of the blend."""
    tasks: list[dict[str, Any]] = []
    for name, path in written.items():
        out = work / program / name
        tasks.append({"voice": str(path), "inputs": str(path.parent / "inputs.npz"), "out": str(out)})
    out = work / program / "blend"
    tasks.append({"pair": [str(path) for path in pair], "share": SHARE, "out": str(out)})
    for task in tasks:
        Path(task["out"]).mkdir(parents=True)
    order = work / program / "tasks.json"
    order.write_text(json.dumps(tasks), encoding="utf-8")
    worker = Path(__file__).with_name("interop_worker.py")
    done = subprocess.run(
        [sys.executable, str(worker), program, str(folder.resolve()), str(order)], capture_output=True, text=True
    )
    missing = [task["out"] for task in tasks if not (Path(task["out"]) / "facts.json").is_file()]
    if missing:
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise WorkbenchError(f"{PROGRAMS[program]} in {folder} could not be run: {reason}")
    names = [*written, "blend"]
    return {
        name: json.loads((Path(task["out"]) / "facts.json").read_text("utf-8"))
        for name, task in zip(names, tasks, strict=True)
    }


def judged(voice: Voice, path: Path, facts: dict[str, Any], out: Path) -> tuple[list[str], bool]:
    """Return what a program made of a voice, in words, and whether it is what it must be."""
    if "error" in facts:
        return [f"refused ({facts['error'][:70]})", "", "", ""], False
    kept = {
        key: facts[key]
        for key in ("rate", "version", "speakers", "names", "index", "encoder", "shown")
        if facts.get(key)
    }
    said = ", ".join(f"{key} {'+'.join(value) if isinstance(value, list) else value}" for key, value in kept.items())
    there = difference_db(convert(path, voice), np.load(out / "audio.npy"))
    saved = next((found for found in sorted(out.glob("saved.*"))), None)
    if saved is None:
        return [said, f"{there:.0f}", "", "it saves none"], there < WORST_DB
    try:
        file = read_foreign(saved)
        here = difference_db(np.load(out / "audio.npy"), convert(saved, voice))
    except WorkbenchError as error:
        return [said, f"{there:.0f}", "refused", str(error)[-80:]], False
    words = f"{file.program}, {file.embedder or 'encoder not said'}, f0 {file.f0_convention or 'not said'}"
    return [said, f"{there:.0f}", f"{here:.0f}", words], max(there, here) < WORST_DB


def judged_blend(pair: Sequence[Path], facts: dict[str, Any]) -> list[str]:
    """Return how a program's blend of two voices compares with ours, weight by weight."""
    if facts.get("blend") is None:
        return [facts.get("error", "blends none"), "", "", ""]
    theirs = torch.load(facts["blend"], weights_only=True)["weight"]
    ours = blended_file(Blend("files", {str(pair[0]): SHARE, str(pair[1]): 1 - SHARE})).weights
    worst = max(float((theirs[name].float() - value.half().float()).abs().max()) for name, value in ours.items())
    return [f"largest difference of a weight {worst:.1e}", "", "", ""]


def convert(path: Path, voice: Voice) -> np.ndarray:
    """Return the audio [N] of a voice by our network, with all noise switched off."""
    network: Any = load_imported_network(path).model
    given = {name: torch.from_numpy(value) for name, value in np.load(_inputs_of(path)).items()}
    frames = given["phone"].shape[1]
    with torch.no_grad():
        made = network.convert(
            given["phone"], given["f0"], given["speaker"],
            prior_noise=torch.zeros(1, network.hidden_channels, frames),
            source_noise=torch.zeros(1, frames * network.hop_length),
        )  # fmt: skip
    audio: np.ndarray = made.audio.flatten().numpy()
    return audio


def _inputs_of(path: Path) -> Path:
    beside = path.parent / "inputs.npz"
    if beside.is_file():
        return beside
    return path.parents[2] / path.parent.name / "inputs.npz"


def difference_db(one: np.ndarray, other: np.ndarray) -> float:
    """Return the RMS of the difference over that of the first, in dB; infinite for other lengths."""
    if one.shape != other.shape:
        return math.inf
    power = float(np.mean(np.square(one, dtype=np.float64)))
    change = float(np.mean(np.square(one.astype(np.float64) - other)))
    return 10 * math.log10(max(change, 1e-30) / max(power, 1e-30))


if __name__ == "__main__":
    sys.exit(main())
