"""Datasets, runs, voices and imported files on this disk, as their own files describe them. There is no database.

    library = Library(Path("."))
    for item in library.items("voice"): item.title, item.facts, item.fault
    library.rename("run", "alice", "Alice, second try"); library.note("run", "alice", "breathy")
    library.compare("run", "alice", "bob")
    binned = library.delete("run", "alice", queue.jobs()); library.restore(binned); library.empty_bin()
    item = library.import_file(uploaded); print(item.report)

What a person writes about an item (title and notes) is `notes.json` in its folder and moves with it. The name of a
folder stays what commands, cards and checkpoints call it; a title is for people.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from studio.deletion import Binned, binned_items, empty, move_to_bin, require_unused, take_back
from studio.importing import Import, import_files
from studio.jobs import Job
from studio.manifests import MANIFESTS, UNREADABLE, Facts, Kind, facts_of, read_json, settings_of
from studio.texts import Line
from studio.uploads import inside
from utils.errors import ConfigError, one_line_for_files
from utils.files import atomic_write_json, files_below

NOTES = "notes.json"
MAX_TITLE, MAX_NOTES = 100, 10_000
FOLDERS: dict[Kind, str] = {"dataset": "datasets", "run": "runs", "voice": "exports", "imported": "imported"}


@dataclass(frozen=True, kw_only=True)
class Item:
    """A dataset, run, voice or import.

    Attributes:
        name: its folder below that of its kind; may be several joined by "/".
        title: what people call it; the name unless they gave another one.
        notes: what they wrote about it.
        changed: when its manifest was written, in seconds since 1970.
        facts: what its manifest says, in the order in which it is shown.
        report: what an import was found to be, in lines.
        fault: one line where its manifest cannot be read; then there are no facts.
    """

    kind: Kind
    name: str
    folder: Path
    title: str
    notes: str
    changed: float
    facts: Facts = field(default_factory=dict)
    report: tuple[str, ...] = ()
    fault: str = ""


@dataclass(frozen=True)
class Difference:
    """One row of a comparison: a fact or setting of two items; empty where one has none."""

    label: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        """Whether the two are not the same."""
        return self.first != self.second


class Library:
    """What lies on this disk.

    Args:
        work: folder that datasets/, runs/, exports/ and imported/ lie in.
        folders: other places for some of them, by kind.
    """

    def __init__(self, work: Path, folders: dict[Kind, Path] | None = None) -> None:
        self.folders = {kind: (work / name).absolute() for kind, name in FOLDERS.items()}
        self.folders |= {kind: path.absolute() for kind, path in (folders or {}).items()}

    def items(self, kind: Kind) -> list[Item]:
        """Return all items of a kind, the newest first; those in folders of folders (trials/alice) too."""
        root, manifest = self.folders[kind], MANIFESTS[kind]
        found = [path for depth in ("*", "*/*") for path in root.glob(f"{depth}/{manifest}")]
        names = (path.parent.relative_to(root) for path in found)
        shown = [name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)]
        return sorted((self._read(kind, name) for name in shown), key=lambda item: (-item.changed, item.name))

    def item(self, kind: Kind, name: str) -> Item:
        """Return one item.

        Raises:
            ConfigError: if there is none of this name, or the name leads out of the folder of its kind.
        """
        if not (inside(self.folders[kind], name) / MANIFESTS[kind]).is_file():
            raise ConfigError(Line("error.item_gone", name=name, folder=self.folders[kind]))
        return self._read(kind, name)

    def size_bytes(self, kind: Kind, name: str) -> int:
        """Return what an item takes on the disk."""
        return folder_bytes(self.item(kind, name).folder)

    def rename(self, kind: Kind, name: str, title: str) -> Item:
        """Give an item another title; an empty one is its name again.

        Raises:
            ConfigError: if it is too long.
            DataError: if it cannot be written.
        """
        words = " ".join(title.split())
        if len(words) > MAX_TITLE or not words.isprintable():
            raise ConfigError(Line("error.title", title=words[:30], number=len(words), most=MAX_TITLE))
        return self._write(self.item(kind, name), words, None)

    def note(self, kind: Kind, name: str, notes: str) -> Item:
        """Replace what is written about an item.

        Raises:
            ConfigError, DataError: as rename().
        """
        if len(notes) > MAX_NOTES:
            raise ConfigError(Line("error.notes", number=len(notes), most=MAX_NOTES))
        return self._write(self.item(kind, name), None, notes)

    def compare(self, kind: Kind, first: str, second: str) -> list[Difference]:
        """Return facts and settings of two items side by side: all facts, and the settings that differ."""
        one, other = self.item(kind, first), self.item(kind, second)
        facts = [
            Difference(label, _text(one.facts.get(label, "")), _text(other.facts.get(label, "")))
            for label in dict.fromkeys([*one.facts, *other.facts])
        ]
        ours, theirs = settings_of(kind, one.folder), settings_of(kind, other.folder)
        rows = [Difference(key, ours.get(key, ""), theirs.get(key, "")) for key in dict.fromkeys([*ours, *theirs])]
        return facts + [row for row in rows if row.differs]

    def delete(self, kind: Kind, name: str, jobs: Iterable[Job] = ()) -> Binned:
        """Move an item to the bin, which is on the same disk: at once, and nothing is lost.

        Args:
            kind: of the item.
            name: of the item.
            jobs: of the queue; one that waits or runs and names the item keeps it.
        Raises:
            ConfigError: if it is in use.
            DataError: if it cannot be moved.
        """
        item = self.item(kind, name)
        require_unused(kind, item.name, item.folder, jobs)
        return move_to_bin(self.folders[kind], kind, item.name)

    def bin(self) -> list[Binned]:
        """Return what was deleted and can be restored, the newest first."""
        found = [binned for kind, root in self.folders.items() for binned in binned_items(root, kind)]
        return sorted(found, key=lambda binned: -binned.deleted)

    def restore(self, binned: Binned) -> Item:
        """Take an item out of the bin.

        Raises:
            ConfigError: if there is another of its name now, or it is no longer there.
        """
        take_back(self.folders[binned.kind], binned)
        return self.item(binned.kind, binned.name)

    def empty_bin(self) -> int:
        """Remove for ever what was deleted, and return how many items that were."""
        return sum(empty(root) for root in self.folders.values())

    def import_file(self, path: Path, name: str = "") -> Item:
        """Take over a voice that somebody made elsewhere, after it has been looked at; nothing of it is trusted.

        A .pth, .pt or .safetensors is read as export=rvc_report does, in a process of its own (about 10 seconds: call
        it outside of the page's thread); an .onnx and an .index by their bytes; a .zip is unpacked within bounds.

        Args:
            path: the file; it stays.
            name: of the folder that it gets; that of the file unless given, with a number where there is one.
        Raises:
            ConfigError: if the name cannot be one.
            FormatError: if it is no voice, damaged, or wants to run something; then nothing of it is kept.
            DataError: if it cannot be written.
        """
        made: Import = import_files(path, self.folders["imported"], name)
        return self.item("imported", made.name)

    def _read(self, kind: Kind, name: str) -> Item:
        folder = self.folders[kind] / name
        facts: Facts = {}
        report: tuple[str, ...] = ()
        fault = ""
        try:
            facts = facts_of(kind, folder)
            if kind == "imported":
                report = _report(folder)
        except UNREADABLE as error:
            words = str(error).splitlines()
            reason = f"{type(error).__name__}: {(words or [''])[0][:200]}"
            fault = Line("error.item_unreadable", file=folder / MANIFESTS[kind], reason=reason)
        title, notes = _written(folder)
        manifest = folder / MANIFESTS[kind]
        changed = manifest.stat().st_mtime if manifest.exists() else 0.0
        return Item(
            kind=kind, name=name, folder=folder, title=title or name, notes=notes, changed=changed, facts=facts,
            report=report, fault=fault,
        )  # fmt: skip

    def _write(self, item: Item, title: str | None, notes: str | None) -> Item:
        earlier_title, earlier_notes = _written(item.folder)
        content = {
            "title": earlier_title if title is None else title * (title != item.name),
            "notes": earlier_notes if notes is None else notes,
        }
        with one_line_for_files():
            atomic_write_json(item.folder / NOTES, content)
        return self._read(item.kind, item.name)


def _written(folder: Path) -> tuple[str, str]:
    """Return title and notes that people gave; empty where they gave none."""
    try:
        content = read_json(folder / NOTES)
        return str(content["title"])[:MAX_TITLE], str(content["notes"])[:MAX_NOTES]
    except UNREADABLE:
        return "", ""


def _text(value: str | int | float) -> str:
    return value if isinstance(value, str) else str(value)


def _report(folder: Path) -> tuple[str, ...]:
    content = read_json(folder / MANIFESTS["imported"])
    lines = [f"{item['name']}: {line}" for item in content["files"] for line in item["report"]]
    return tuple(lines)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of the files below a folder; one that goes meanwhile counts nothing."""
    total = 0
    for path in files_below(folder):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
