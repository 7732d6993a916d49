"""From whatever a voice is kept in to an exported graph: a .onnx as it is, a run, checkpoint or .pth exported once.

Exporting needs PyTorch, so it is done by export_onnx.py in a process of its own; this one never imports it.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.errors import ConfigError, FormatError
from utils.files import files_below, sha256_of_file
from utils.version import VERSION
from utils.voice_file.delivered import CARD
from utils.voice_file.names import check_voice_name

EXPORTER = Path(__file__).resolve().parents[2] / "export_onnx.py"
CACHE_VARIABLE = "XDG_CACHE_HOME"
WHAT = "an exported voice (its folder or .onnx), a run, a checkpoint of one, or a .pth of RVC"
# a graph that is made to be run at once was verified by nobody's wish: the rules that take long are left out
QUICK = ("export.verify_minutes=0", "export.verify_blocks=0")
STATES = ("best", "last", "previous")
CACHE_BYTES = 4 * 10**9  # of all kept graphs together; one with RVC's encoder has about .5
KEPT_SECONDS = 3600.0  # after its last use a graph may still be about to be read
ABANDONED_SECONDS = 86_400.0  # after which the folder of an export is one of a process that was killed
KEY = re.compile(r"[0-9a-f]{24}")
WORK = ".export."


def default_cache() -> Path:
    """Return the folder of this user in which graphs of runs and .pth files are kept."""
    given = os.environ.get(CACHE_VARIABLE) or os.environ.get("LOCALAPPDATA")
    return (Path(given) if given else Path.home() / ".cache") / "voclo-trainer" / "graphs"


def graph_of(voice: Path, *, cache: Path | None = None, options: Sequence[str] = (), index: Path | None = None) -> Path:
    """Return the graph of a voice; one that has none yet is exported, once for each content.

    All graphs kept there have at most CACHE_BYTES: those that were not used for longest are removed.

    Args:
        voice: an exported voice (its folder or .onnx), a run, a checkpoint of one (see STATES), or a .pth.
        cache: folder in which graphs are kept; None: default_cache().
        options: further settings of export_onnx.py, such as content=contentvec for a .pth.
        index: the .index of a .pth.
    Raises:
        FormatError: if it is no voice.
        ConfigError: if it cannot be exported, with the line of export_onnx.py, or an option has no use.
    """
    if not voice.exists():
        raise FormatError(f"{voice} does not exist; give {WHAT}")
    source = source_of(voice)
    if isinstance(source, Path):
        if options or index:
            raise ConfigError(f"{voice} is exported already; options of the export and an index have no use with it")
        return source
    settings = [f"{key}={value}" for key, value in source.items()] + list(options)
    settings += [f"index={index.resolve()}"] if index else []
    folder = (cache or default_cache()) / _key(source, [*options, *([sha256_of_file(index)] if index else [])])
    with _locked(folder):
        found = sorted(folder.glob("*.onnx"))
        graph = found[0] if found else _exported_into(folder, settings)
        os.utime(folder)  # when it was used last
    _make_room(folder.parent)
    return graph


def source_of(voice: Path) -> Path | Mapping[str, str]:
    """Return the graph of a voice, or for one without the settings with which export_onnx.py makes one.

    Raises:
        FormatError: if it is no voice.
    """
    if voice.is_file():
        suffix = voice.suffix.lower()
        if suffix == ".onnx":
            return voice
        if suffix in (".pth", ".safetensors"):
            return {"voice": str(voice.resolve())}
        if suffix == ".ckpt" and voice.stem in STATES and is_run(voice.parent.parent):
            return {"run": str(voice.parent.parent.resolve()), "checkpoint": voice.stem}
        raise FormatError(f"{voice} is no voice; give {WHAT}")
    if is_run(voice):
        return {"run": str(voice.resolve())}
    graphs = sorted(item for item in voice.glob("*.onnx") if not item.name.endswith("_stream.onnx"))
    if not graphs:
        raise FormatError(f"{voice} holds no voice; give {WHAT}")
    return graphs[0]


def is_run(folder: Path) -> bool:
    """Whether a folder is a run of train.py."""
    return (folder / "config.yaml").is_file() and (folder / "checkpoints").is_dir()


def is_saved_state(path: Path) -> bool:
    """Whether a path is a run of train.py or a checkpoint of one, which has no graph yet."""
    return is_run(path) or (path.suffix.lower() == ".ckpt" and path.is_file())


def exported(settings: Sequence[str], work: Path) -> Path:
    """Export a voice by export_onnx.py and return its graph.

    Args:
        settings: run=<folder> or voice=<file> first, then what else it is told.
        work: a folder in which the folder of the export appears.
    Raises:
        ConfigError: with the line that export_onnx.py ends with.
    """
    given = Path(settings[0].partition("=")[2])
    name = _voice_name(given)
    command = [sys.executable, str(EXPORTER), *settings, f"name={name}", f"export.root={work.resolve()}", *QUICK]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    graphs = sorted((work / name).glob("*.onnx"))
    if done.returncode or not graphs:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason was given"]
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")] or lines
        hint = f"python export_onnx.py voice={given} <what is missing>, then give exports/{name} in its place"
        lacks_encoder = settings[0].startswith("voice=") and "content=" in said[-1]
        raise ConfigError(f"{given} cannot be exported: {said[-1]}", hint=hint if lacks_encoder else "")
    return graphs[0]


def _voice_name(given: Path) -> str:
    """Return the name of a run or a file where a graph can have it."""
    try:
        return check_voice_name(given.stem if given.is_file() else given.name)
    except ConfigError:
        return "voice"


def _exported_into(folder: Path, settings: Sequence[str]) -> Path:
    with tempfile.TemporaryDirectory(prefix=WORK, dir=folder.parent) as work:
        graph = exported(settings, Path(work))
        folder.mkdir(exist_ok=True)
        shutil.copyfile(graph.parent / CARD, folder / CARD)  # first: a graph that is there is complete
        return graph.replace(folder / graph.name)


def _make_room(cache: Path) -> None:
    """Remove the graphs that were not used for longest until the others have at most CACHE_BYTES, and what was left."""
    from utils.locks import try_lock

    now = time.time()
    with suppress(OSError):  # another process may remove the same
        for work in cache.glob(f"{WORK}*"):
            if now - work.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(work, ignore_errors=True)
        used = {folder: folder.stat().st_mtime for folder in cache.iterdir() if KEY.fullmatch(folder.name)}
        sizes = {folder: sum(path.stat().st_size for path in files_below(folder)) for folder in used}
        for folder in sorted(used, key=lambda folder: used[folder]):
            if sum(sizes.values()) <= CACHE_BYTES or now - used[folder] < KEPT_SECONDS:
                return
            with folder.with_suffix(".lock").open("w", encoding="utf-8") as stream:
                if try_lock(stream):
                    shutil.rmtree(folder, ignore_errors=True)
                    sizes.pop(folder)


def _key(source: Mapping[str, str], options: Sequence[str]) -> str:
    """Return a name for what a graph depends on: contents, settings, version."""
    if "voice" in source:
        contents = [sha256_of_file(Path(source["voice"]))]
    else:
        run = Path(source["run"])
        state = source.get("checkpoint", STATES[0])
        parts = (run / "config.yaml", run / "codebook.safetensors", run / "checkpoints" / f"{state}.ckpt")
        contents = [sha256_of_file(path) for path in parts if path.is_file()]
    return hashlib.sha256(json.dumps([VERSION, contents, sorted(options)]).encode()).hexdigest()[:24]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let others wait who want the same graph."""
    from utils.locks import wait_for_lock  # the small environment, which cannot export, has no package for it

    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w", encoding="utf-8") as stream:
        wait_for_lock(stream)
        yield
