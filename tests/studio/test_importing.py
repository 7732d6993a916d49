"""Files of others: what is taken over, what is refused, and that nothing of it is run."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from studio import importing
from studio.library import Library
from tests.tools.planted_graphs import write
from tests.tools.rvc_tools import applio_voice, saved, small_generator
from tests.tools.standin_voice import metadata_of
from utils.errors import ConfigError, DataError, FormatError
from utils.files import sha256_of_file
from utils.voice_file.metadata import METADATA_KEY

INDEX = struct.pack("<4siq", b"IwFl", 768, 1234) + bytes(100)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "work")


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def nothing_is_kept(library: Library) -> bool:
    return library.items("imported") == [] and not list(library.folders["imported"].glob("*"))


def test_an_index_is_known_by_its_head(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "bob.index"
    path.write_bytes(INDEX)

    first, second = library.import_file(path), library.import_file(path)

    assert (first.name, second.name) == ("bob", "bob (2)")
    assert first.report == (
        "bob.index: FAISS index (IVF, flat) of 1234 vectors of 768 values; read only where you search it",
    )
    assert (first.folder / "bob.index").read_bytes() == INDEX
    assert first.facts["from"] == "bob.index" and path.exists()
    assert sha256_of_file(path) in (first.folder / "import.json").read_text("utf-8")


def test_a_graph_says_what_it_is(library: Library, tmp_path: Path) -> None:
    path = write(tmp_path)
    model = onnx.load(str(path))
    model.metadata_props.add(key=METADATA_KEY, value=metadata_of().to_json())
    own = tmp_path / "own.onnx"
    onnx.save(model, str(own))

    assert "not made by this workbench" in library.import_file(path, "tiny").report[1]
    report = library.import_file(own).report
    assert "opset 17" in report[0] and f"voice {metadata_of().name}" in report[1]


def test_a_graph_with_its_weights_elsewhere_is_refused(library: Library, tmp_path: Path) -> None:
    model = onnx.load(str(write(tmp_path)))
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    path = tmp_path / "elsewhere.onnx"
    path.write_bytes(model.SerializeToString())

    with pytest.raises(FormatError, match="another file"):
        library.import_file(path)
    assert nothing_is_kept(library)


def test_an_archive_is_unpacked_side_by_side(library: Library, tmp_path: Path) -> None:
    inner = {"bob/logs/bob.index": INDEX, "bob/readme.exe": b"MZ", "__MACOSX/._bob.pth": b"x", "bob/config.json": b"{}"}

    item = library.import_file(zipped(tmp_path / "bob.zip", inner))

    assert sorted(path.name for path in item.folder.iterdir()) == ["bob.index", "config.json", "import.json"]


@pytest.mark.parametrize("name", ["../../evil.index", "/etc/evil.index", r"..\..\evil.index", "a/../../../evil.index"])
def test_no_name_in_an_archive_leaves_the_folder(library: Library, tmp_path: Path, name: str) -> None:
    item = library.import_file(zipped(tmp_path / "bob.zip", {name: INDEX}))

    assert list(tmp_path.rglob("evil.index")) == [item.folder / "evil.index"]


def bomb() -> bytes:
    """Return an archive of 40 kB whose directory says that its one file has a byte less than it has."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bob.index", INDEX + bytes(40_000_000))
    data = stream.getvalue()
    size = struct.pack("<L", len(INDEX) + 40_000_000)
    return data.replace(size, struct.pack("<L", 100))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK but no archive", "damaged or no zip"),
        ({}, "no voice"),
        ({"readme.txt": b"x", "config.json": b"{}"}, "no voice"),
        ({"a/x.index": INDEX, "b/X.index": INDEX}, "two files named"),
        ({f"{number}.index": INDEX for number in range(101)}, "101 files"),
        ({"bob.index": b"no index at all, really"}, "no FAISS index"),
        ({"a\x01.index": INDEX}, "cannot be seen"),
        ({"con.index": INDEX}, "Windows"),
        (bomb(), "damaged|more than it says"),
    ],
)  # fmt: skip
def test_archives_that_are_not_what_they_should_be_leave_nothing(
    library: Library, tmp_path: Path, content: Any, words: str
) -> None:
    path = tmp_path / "bob.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        zipped(path, content)

    with pytest.raises(FormatError, match=words):
        library.import_file(path)
    assert nothing_is_kept(library)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_archive_is_one_line(library: Library, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = zipped(tmp_path / "bob.zip", {"bob.index": INDEX, "config.json": b"{}"})
    data = bytearray(path.read_bytes())
    for place in rng.integers(len(data), size=4):
        data[place] = rng.integers(256)
    path.write_bytes(data[: rng.integers(len(data) // 2, len(data) + 1)] if seed % 4 == 0 else data)

    try:
        library.import_file(path)
    except (ConfigError, DataError, FormatError) as error:
        assert "\n" not in str(error)
        assert nothing_is_kept(library)


def test_what_would_fill_the_disk_is_refused(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "KEPT_FREE_BYTES", 2**60)
    (tmp_path / "bob.index").write_bytes(INDEX)

    for path in (zipped(tmp_path / "bob.zip", {"bob.index": INDEX}), tmp_path / "bob.index"):
        with pytest.raises((FormatError, DataError), match="free some space"):
            library.import_file(path)
    assert nothing_is_kept(library)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "con", "x${oc.env:HOME}"])
def test_a_name_that_cannot_be_a_folder_is_one_line(library: Library, tmp_path: Path, name: str) -> None:
    path = tmp_path / (f"{name}.index" if name.startswith("x$") else "bob.index")
    path.write_bytes(INDEX)
    if not name:
        path = tmp_path / "no such.index"

    with pytest.raises(ConfigError):
        library.import_file(path, name if not name.startswith("x$") else "")


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.slow
def test_voices_are_read_in_a_process_of_their_own_and_nothing_in_them_is_run(library: Library, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    hostile = saved(tmp_path / "evil.pth", {"weight": Hostile(touched)})
    voice = saved(tmp_path / "bob.pth", applio_voice(small_generator()))

    with pytest.raises(FormatError, match="nothing was run"):
        library.import_file(hostile)

    assert not touched.exists() and nothing_is_kept(library)
    assert "Applio" in library.import_file(voice).report[0]


def test_what_the_reader_says_is_the_report_of_the_import(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    program = "import sys; print(sys.argv[1].partition('=')[2] + ': a voice\\nall 457 parameters fit')"
    program += "\nimport os; sys.exit(any(key.startswith('VOCLO_') for key in os.environ))"
    monkeypatch.setenv("VOCLO_EXPORT__VERIFY_BLOCKS", "0")  # of exports, which a look at a file is none of
    (scripts / "export_onnx.py").write_text(program, "utf-8")
    monkeypatch.setattr(importing, "ROOT", scripts)
    (tmp_path / "bob.pth").write_bytes(b"x")

    item = library.import_file(tmp_path / "bob.pth")

    assert item.report == ("bob.pth: bob.pth: a voice", "bob.pth: all 457 parameters fit")
    assert item.facts["what bob.pth is"] == "bob.pth: a voice"
