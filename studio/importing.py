"""Voices of others: looked at before they are kept, in a process of their own where a program in C or Python must.

Nothing here unpickles, and no name or number in a file decides where something is written or how much is read.
"""

import errno
import lzma
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from studio.manifests import MANIFESTS
from studio.secret_texts import without_secrets
from studio.texts import Line
from studio.uploads import CHUNK, KEPT_FREE_BYTES, MAX_FILE_BYTES, VOICES, plain_name
from utils.config.names import check_folder_name
from utils.errors import ConfigError, DataError, FormatError, one_line_for_files
from utils.files import atomic_write_json, sha256_of_file
from utils.voice_file.metadata import METADATA_KEY, metadata_from_json
from utils.voice_file.onnx_contents import read_contents

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = (".pth", ".pt", ".safetensors")
BESIDE = (".json",)  # config.json of So-VITS-SVC, card.json of ours
# what Python's readers of archives raise for archives that are none
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError)
MAX_MEMBERS, MAX_BESIDE_BYTES = 100, 4 << 20
REPORT_SECONDS = 300.0
INDEX_HEAD = struct.Struct("<4siq")  # kind, size of a vector, number of vectors: faiss/impl/index_write.cpp
INDEX_KINDS = {
    b"IxF2": "flat", b"IxFI": "flat", b"IwFl": "IVF, flat", b"IHNf": "HNSW, flat", b"IwPQ": "IVF, product quantizer",
    b"IxSQ": "scalar quantizer", b"IwSq": "IVF, scalar quantizer",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """What was taken over: the name of its folder below the root of imports, and its files."""

    name: str
    files: tuple[str, ...]


def import_files(path: Path, root: Path, name: str = "") -> Import:
    """Copy a voice, or unpack a zip archive of voices, to a new folder with import.json, if every file is good.

    Args:
        path: .pth, .pt, .safetensors, .index, .onnx or .zip.
        root: folder of all imports.
        name: of the new folder; that of the file unless given, with a number where there is one.
    Raises:
        ConfigError, FormatError, DataError: see Library.import_file.
    """
    if not path.is_file():
        raise ConfigError(Line("error.import_gone", file=path))
    last = plain_name(path.name, VOICES)
    check_folder_name(name or Path(last).stem, "name")
    with one_line_for_files():
        root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=root, prefix=".incoming-"))
        try:
            if Path(last).suffix.lower() == ".zip":
                unpack(path, staging)
            else:
                _copy(path, staging / last)
            files = sorted(item for item in staging.iterdir() if item.suffix.lower() not in BESIDE)
            entries = [
                {
                    "name": item.name,
                    "bytes": item.stat().st_size,
                    "sha256": sha256_of_file(item),
                    "report": analyse(item),
                }
                for item in files
            ]
            atomic_write_json(staging / MANIFESTS["imported"], {"schema_version": 1, "source": last, "files": entries})
            target = _free_folder(root, name or Path(last).stem)
            staging.chmod(0o755)
            staging.replace(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return Import(target.name, tuple(item.name for item in files))


def analyse(path: Path) -> list[str]:
    """Return lines that say what a file is.

    Raises:
        FormatError: if it is no voice or index, damaged, or wants to run something.
        DataError: if looking at it takes too long.
    """
    kind = path.suffix.lower()
    if kind in WEIGHTS:
        return _report(path)
    return _index_report(path) if kind == ".index" else _graph_report(path)


def unpack(path: Path, folder: Path) -> None:
    """Write the voices of a zip archive to a folder, all side by side, whatever folders the archive has.

    Raises:
        FormatError: if it holds none, is damaged, encrypted, or unpacks to more than is taken.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = _wanted(path, archive)
            for last, member in wanted.items():
                limit = MAX_BESIDE_BYTES if Path(last).suffix.lower() in BESIDE else MAX_FILE_BYTES
                with archive.open(member) as source, (folder / last).open("xb") as target:
                    written = 0
                    while chunk := source.read(CHUNK):
                        written += len(chunk)
                        if written > min(limit, member.file_size):  # the directory of an archive may say anything
                            raise FormatError(Line("error.zip_lies", file=path.name, member=last))
                        target.write(chunk)
    except OSError as error:
        if error.errno != errno.EINVAL:  # which a place outside of the file is; others are of the disk
            raise
        raise FormatError(Line("error.zip_part", file=path.name)) from error
    except DAMAGE as error:
        raise FormatError(Line("error.zip", file=path.name, reason=str(error)[:100])) from error


def _wanted(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members that are voices or belong to them, by the plain name that each gets."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAX_MEMBERS:
        raise FormatError(Line("error.zip_many", file=path.name, number=len(members), most=MAX_MEMBERS))
    kinds = (*WEIGHTS, ".index", ".onnx", *BESIDE)
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        inner = member.filename.replace("\\", "/").rpartition("/")[2]
        if inner.startswith(".") or Path(inner).suffix.lower() not in kinds or "__MACOSX" in member.filename:
            continue
        try:
            last = plain_name(inner, kinds)
        except ConfigError as error:
            raise FormatError(Line("error.zip_member", file=path.name, reason=error.args[0])) from error
        if member.flag_bits & 0x1:
            raise FormatError(Line("error.zip_encrypted", file=path.name, member=last))
        if last.lower() in (known.lower() for known in found):
            raise FormatError(Line("error.zip_twice", file=path.name, member=last))
        found[last] = member
    if all(Path(last).suffix.lower() in BESIDE for last in found):
        raise FormatError(Line("error.zip_empty", file=path.name))
    found.pop(MANIFESTS["imported"], None)
    declared, free = sum(member.file_size for member in found.values()), shutil.disk_usage(path.parent).free
    if declared > min(2 * MAX_FILE_BYTES, max(0, free - KEPT_FREE_BYTES)):
        raise FormatError(Line("error.zip_large", file=path.name, size=f"{declared / 1e6:.0f}"))
    return found


def _report(path: Path) -> list[str]:
    """Let export=rvc_report, which trusts nothing, look at a file in a process of its own."""
    command = [sys.executable, str(ROOT / "export_onnx.py"), f"voice={path}", "export=rvc_report"]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("VOCLO_")}  # keys of exports
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=plain, stdin=subprocess.DEVNULL, capture_output=True, timeout=REPORT_SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise DataError(Line("error.import_late", file=path.name, seconds=f"{REPORT_SECONDS:.0f}")) from error
    texts = [stream.decode("utf-8", "replace").replace(str(path), path.name) for stream in (done.stdout, done.stderr)]
    shown, said = (without_secrets(text).strip() for text in texts)
    if done.returncode:
        last = next((line for line in reversed(said.splitlines()) if line.strip()), f"exit code {done.returncode}")
        raise FormatError(last.removeprefix("error: "))
    return shown.splitlines()


def _index_report(path: Path) -> list[str]:
    """Say what an index is by its head; FAISS, which trusts the numbers inside, does not see it."""
    with path.open("rb") as stream:
        head = stream.read(INDEX_HEAD.size)
    if len(head) < INDEX_HEAD.size:
        raise FormatError(Line("error.index_short", file=path.name))
    kind, size, count = INDEX_HEAD.unpack(head)
    if kind not in INDEX_KINDS or not (0 < size <= 65_536 and 0 <= count <= 2**40):
        raise FormatError(Line("error.index_kind", file=path.name, bytes=kind.hex()))
    return [f"FAISS index ({INDEX_KINDS[kind]}) of {count} vectors of {size} values; read only where you search it"]


def _graph_report(path: Path) -> list[str]:
    contents = read_contents(path)
    if contents.external:
        raise FormatError(Line("error.graph_external", file=path.name))
    domains = sorted({domain for domain, _ in contents.operators} - {"", "ai.onnx"})
    size = f"{path.stat().st_size / 1e6:.1f} MB, {contents.num_nodes} nodes, opset {contents.opsets.get('', '?')}"
    lines = [f"ONNX graph, {size}" + f", operators of {', '.join(domains)}" * bool(domains)]
    stored = contents.metadata.get(METADATA_KEY)
    if stored is None:
        return [*lines, "not made by this workbench: it says nothing of itself here"]
    voice = metadata_from_json(stored, path.name)
    return [
        *lines,
        f"voice {voice.name}, {voice.flavour}, {voice.sample_rate} Hz, step {voice.step}",
        f"speakers: {', '.join(speaker.name for speaker in voice.speakers)}",
        f"licence: {voice.licence}; consent: {voice.consent}",
    ]


def _copy(path: Path, target: Path) -> None:
    size = path.stat().st_size
    if size > min(MAX_FILE_BYTES, max(0, shutil.disk_usage(target.parent).free - KEPT_FREE_BYTES)):
        raise DataError(Line("error.import_large", file=path.name, size=f"{size / 1e6:.0f}"))
    shutil.copyfile(path, target)


def _free_folder(root: Path, name: str) -> Path:
    numbered = (root / (name if number == 1 else f"{name} ({number})") for number in range(1, 10_000))
    found = next((place for place in numbered if not place.exists()), None)
    if found is None:
        raise ConfigError(Line("error.import_names", name=name))
    return found
