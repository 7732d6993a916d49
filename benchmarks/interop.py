"""Run the real loaders and savers of other programs on our files, and ours on theirs, and print the differences.

    python -m benchmarks.interop --applio <checkout> --rvc-webui <checkout> --rvc-next <package> --wokada <checkout>
        --deiteris <checkout> --sovits <checkout of 4.1-Stable> [--work <folder>]

Each program is given by the folder of its checkout, rvc-next by the folder in which its package lies; those that are
not given are left out. Voices of each vocoder, version and rate with random weights are written as export=rvc_pth does,
loaded by the program and run by its network with all noise switched off; then the program saves what it loaded,
and we load that. Programs that blend voices blend two of ours; clients also run graphs of export=wokada and deiteris.
So-VITS-SVC gets pairs of export=rvc_checkpoint and resumes them, too. Printed is the RMS of the difference beside that
of the audio, in dB. The exit code is 1 where a voice that a program must take is refused, or a difference is above
-80 dB.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.interop_asking import PROGRAMS, RVC_PROGRAMS, ask, difference_db
from benchmarks.interop_graphs import CLIENTS, check_graphs
from benchmarks.interop_sovits import VARIANTS, check_sovits
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
SOVITS = "sovits"


class Voice(NamedTuple):
    """A voice that is tried.

    Attributes:
        name: in the table.
        published: its network.
        has_f0: whether it is told the pitch.
        takers: programs that must take it.
        embedder: the content encoder that its file names.
    """

    name: str
    published: Published
    has_f0: bool
    takers: tuple[str, ...]
    embedder: str = "contentvec"


ALL = tuple(RVC_PROGRAMS)
WITHOUT_F0 = {"v1 40k": ALL[:-1], "v2 32k": ALL[:-1], "v2 40k": ALL[:-1], "v2 48k": ALL[:-1]}
# deiteris' own loader of these stops with a TypeError at every file


def voices(chosen: Sequence[str] = ()) -> list[Voice]:
    """Return what is tried; of those that are chosen, if any are."""
    found = [Voice(item.name, item, True, ALL if item.vocoder == "HiFi-GAN" else ("applio",)) for item in PUBLISHED]
    by_name = {item.name: item for item in PUBLISHED}
    found += [Voice(f"{name} without f0", by_name[name], False, takers) for name, takers in WITHOUT_F0.items()]
    found.append(Voice("v2 40k on spin", by_name["v2 40k"], True, ALL, "spin"))
    return [voice for voice in found if not chosen or voice.name in chosen]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("interop", __doc__)
    for name, words in PROGRAMS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, help=f"folder of {words}")
    parser.add_argument("--work", type=Path, help="folder for the files, kept afterwards; default: a temporary one")
    names = [voice.name for voice in voices()] + [f"So-VITS-SVC {variant.name}" for variant in VARIANTS]
    parser.add_argument("--voices", nargs="*", choices=names, default=[], metavar="NAME", help=f"of {', '.join(names)}")
    options = parser.parse_args(arguments)
    return run_program("interop", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    folders = {name: getattr(options, name) for name in PROGRAMS if getattr(options, name) is not None}
    of_sovits = folders.pop(SOVITS, None)
    with tempfile.TemporaryDirectory() as temporary:
        work = empty_folder(options.work) if options.work else Path(temporary)
        tried = voices(options.voices)
        rows, is_good = check(folders, work, tried, keep=options.work is not None) if folders and tried else ([], True)
        chosen = [name.removeprefix("So-VITS-SVC ") for name in options.voices]
        if of_sovits is not None and (not chosen or any(variant.name in chosen for variant in VARIANTS)):
            more, fits = check_sovits(of_sovits, work, chosen)
            rows, is_good = [*rows, *more], is_good and fits
    emit(table(rows, ["program", "voice", "it says", "ours there (dB)", "its file here (dB)", "its file is read as"]))
    return 0 if is_good else 1


def check(folders: dict[str, Path], work: Path, tried: Sequence[Voice], *, keep: bool) -> tuple[list[list[str]], bool]:
    """Try voices with every program, and a blend of two of the first kind.

    Args:
        folders: of the programs.
        work: for files.
        tried: the voices.
        keep: whether what a program saved stays in the folder.
    Returns:
        Rows of the table, and whether all is as it must be.
    """
    written = {voice.name: write_voice(voice, work / voice.name) for voice in tried}
    pair = [written[tried[0].name], write_voice(tried[0], work / "other", scale=1.01)]
    rows, is_good = [], True
    for program, folder in folders.items():
        *facts, of_blend = ask(program, folder, _tasks(program, written, pair, work), work)
        for voice, said in zip(tried, facts, strict=True):
            row, fits = judged(voice, written[voice.name], said, work / program / voice.name)
            rows.append([PROGRAMS[program], voice.name, *row])
            is_good &= fits or program not in voice.takers
        rows.append([PROGRAMS[program], f"blend of two {tried[0].name}", *judged_blend(pair, of_blend)])
        if program in CLIENTS:
            more, fits = check_graphs(program, folder, written, work / program)
            rows, is_good = [*rows, *more], is_good and fits
        emit(f"{PROGRAMS[program]}: replaced by empty modules: {', '.join(of_blend['replaced']) or 'none'}")
        if not keep:
            shutil.rmtree(work / program)
    return rows, is_good


def _tasks(program: str, written: dict[str, Path], pair: Sequence[Path], work: Path) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = [
        {"voice": str(path), "inputs": str(path.parent / "inputs.npz"), "out": str(work / program / name)}
        for name, path in written.items()
    ]
    blend = {"pair": [str(path) for path in pair], "share": SHARE, "out": str(work / program / "blend")}
    return [*tasks, blend]


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
        embedder=voice.embedder, f0_convention="zero_unvoiced", dataset_seconds=600.0,
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


if __name__ == "__main__":
    sys.exit(main())
