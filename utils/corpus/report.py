"""What preprocess.py reports at the end, as tables and as report.json."""

from dataclasses import asdict, dataclass, field
from typing import Any

from utils.console import table
from utils.corpus.description import DatasetDescription
from utils.corpus.manifest import Clip
from utils.corpus.shards import Shard
from utils.corpus.sources import SourceListing
from utils.corpus.split import FEWEST_FILES, HeldOutSettings, nothing_held_out
from utils.corpus.teacher import TeacherDescription

SCHEMA_VERSION = 1
MOST_ROWS = 40
MOST_NAMES = 8


@dataclass
class FileReport:
    """What became of one recording.

    Attributes:
        source: path below dataset.source.
        speaker: who speaks.
        problem: why it was dropped; None if it is used.
        notes: what the user should know although it is used.
        seconds: its length; 0 where it could not be decoded.
        used_seconds: length of its clips.
        clips: number of clips.
        split: "train", "val", or "both" where only its end is held out.
        gain_db: gain of the whole file.
        loudness_lufs: loudness before the gain.
        decoder: library that read it.
        copy_of: an earlier recording that it shares sound with, as copies in another format and cuts do.
        pitch_shift: semitones by which a teacher moved its pitch; None without one.
    """

    source: str
    speaker: str
    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    used_seconds: float = 0.0
    clips: int = 0
    split: str | None = None
    gain_db: float | None = None
    loudness_lufs: float | None = None
    decoder: str | None = None
    copy_of: str | None = None
    pitch_shift: float | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON, with a plain word for the outcome."""
        known = {key: value for key, value in self.__dict__.items() if key != "pitch_shift" or value is not None}
        return {"status": "used" if self.problem is None else "dropped", **known}


@dataclass
class WorkReport:
    """How much was done and how much was taken from the cache.

    Attributes:
        read: recordings decoded in this run.
        reused: recordings taken from the cache.
        converted: recordings that a teacher converted in this run.
        features: feature -> recordings for which (a part of) it was computed in this run.
        seconds: time from start to end of the run.
        audio_seconds: audio that was computed on in this run.
    """

    read: int = 0
    reused: int = 0
    converted: int = 0
    features: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    audio_seconds: float = 0.0

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "files_read": self.read,
            "files_reused": self.reused,
            **({"files_converted": self.converted} if self.converted else {}),
            "files_computed": self.features,
            "seconds": round(self.seconds, 2),
            "audio_seconds": round(self.audio_seconds, 2),
            "times_real_time": round(self.audio_seconds / self.seconds, 2) if self.seconds else 0.0,
        }


@dataclass(frozen=True)
class ShardOutcome:
    """What a shard did.

    Attributes:
        shard: which one.
        num_files: recordings of the shard.
        num_all: recordings of the source.
        dropped: path below the source and reason of those that cannot be used.
        work: as in report.json.
    """

    shard: Shard
    num_files: int
    num_all: int
    dropped: list[tuple[str, str]]
    work: dict[str, Any]


def report_json(
    dataset: DatasetDescription,
    *,
    files: list[FileReport],
    listing: SourceListing,
    notes: list[str],
    work: WorkReport,
) -> dict[str, Any]:
    """Return the report as plain data.

    Args:
        dataset: as dataset.json describes it.
        files: every recording found, used or dropped.
        listing: what else the source holds.
        notes: what the user should know about the dataset as a whole.
        work: what was done.
    """
    dropped = [item for item in files if item.problem is not None]
    speakers = [asdict(speaker) for speaker in dataset.speakers]
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": dataset.name,
        "source": dataset.source,
        **({"teacher": asdict(dataset.teacher)} if dataset.teacher else {}),
        "speakers": speakers,
        "totals": {
            **{key: round(sum(row[key] for row in speakers), 4) for key in ("minutes", "held_out_minutes", "clips")},
            "files": len(files) - len(dropped),
            "dropped": len(dropped),
        },
        "dropped": [{"source": item.source, "reason": item.problem} for item in dropped],
        "files": [item.to_plain() for item in files],
        "empty_folders": listing.empty_folders,
        "ignored": dict(sorted(listing.ignored.items())),
        "notes": [*listing.notes, *notes],
        "work": work.to_plain(),
    }


def teacher_notes(teacher: TeacherDescription | None) -> list[str]:
    """Say whose voice a dataset holds that a teacher made."""
    return [teacher.words] if teacher else []


def split_notes(clips: list[Clip], settings: HeldOutSettings) -> list[str]:
    """Return what the user should know about the held-out clips of a dataset."""
    held_out = [clip for clip in clips if clip.split == "val"]
    if not held_out:
        return [nothing_held_out(settings)]
    ends = {clip.source for clip in held_out} & {clip.source for clip in clips if clip.split == "train"}
    seconds = sum(clip.duration_seconds for clip in held_out)
    few = len({clip.checksum for clip in clips}) < FEWEST_FILES
    reason = f"fewer than {FEWEST_FILES} recordings" if few else "no recording can be held out whole"
    return [f"{reason}: the last {seconds:.1f} s of {name} are held out" for name in sorted(ends)]


def speaker_notes(clips: list[Clip]) -> list[str]:
    """Name the speakers of whom nothing is held out, where something is."""
    heard = {clip.speaker for clip in clips if clip.split == "val"}
    others = sorted({clip.speaker for clip in clips} - heard)
    if not others or not heard:
        return []
    names = ", ".join(others[:MOST_NAMES]) + (
        f" and {len(others) - MOST_NAMES} more" if len(others) > MOST_NAMES else ""
    )
    return [f"no held-out audio of {names}: what is measured in training says nothing of these voices"]


def report_text(report: dict[str, Any], folder: str) -> str:
    """Lay the report out for the screen."""
    rows = [
        [
            row["name"],
            f"{row['minutes']:.2f}",
            row["files"],
            row["clips"],
            f"{row['held_out_minutes']:.2f}",
            "-" if row["f0_median_hz"] is None else f"{row['f0_median_hz']:.0f}",
        ]
        for row in report["speakers"]
    ]
    sections = [table(rows, ["speaker", "minutes", "files", "clips", "held out", "median f0 Hz"])]
    dropped = [[item["source"], item["reason"]] for item in report["dropped"]]
    dropped += [[f"{name}/", "folder without sound files"] for name in report["empty_folders"]]
    if dropped:
        sections.append(_limited(dropped, ["dropped", "reason"]))
    noted = [[item["source"], note] for item in report["files"] if item["status"] == "used" for note in item["notes"]]
    if noted:
        sections.append(_limited(noted, ["used, but", "note"]))
    if report["ignored"]:
        kinds = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in report["ignored"].items())
        sections.append(f"not sound, left alone: {kinds}")
    sections += [f"note: {note}" for note in report["notes"]]
    work, totals = report["work"], report["totals"]
    converted = f"{work['files_converted']} converted by the teacher, " if work.get("files_converted") else ""
    done = f"{work['files_read']} files read, {work['files_reused']} taken from the cache, "
    done += f"{converted}{work['seconds']:.1f} s"
    if work["audio_seconds"]:
        done += f" ({work['times_real_time']:.1f} x real time)"
    sections.append(
        f"{totals['minutes']:.2f} minutes in {totals['clips']} clips of {totals['files']} files, "
        f"{totals['dropped']} files dropped; {done}\n-> {folder} (report.json there)"
    )
    return "\n\n".join(sections)


def shard_text(outcome: ShardOutcome) -> str:
    """Lay out what one shard did; the report of the whole dataset is made by the merge."""
    sections = []
    if outcome.dropped:
        rows = [list(row) for row in outcome.dropped]
        sections.append(_limited(rows, ["dropped", "reason"]))
    work, count = outcome.work, outcome.shard.count
    sections.append(
        f"shard {outcome.shard}: {outcome.num_files} of {outcome.num_all} files; {work['files_read']} read, "
        f"{work['files_reused']} taken from the cache, {work['seconds']:.1f} s\n"
        f"when all {count} are done: the same command with dataset.merge={count} instead of dataset.shard"
    )
    return "\n\n".join(sections)


def _limited(rows: list[list[str]], headers: list[str]) -> str:
    text = table(rows[:MOST_ROWS], headers)
    return text if len(rows) <= MOST_ROWS else f"{text}\n... and {len(rows) - MOST_ROWS} more in report.json"
