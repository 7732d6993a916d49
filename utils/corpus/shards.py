"""One part of a dataset's recordings: which ones it has, and the record of what it did with them."""

import heapq
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from utils.config.preprocess import MOST_SHARDS
from utils.corpus.sources import SourceFile
from utils.errors import ConfigError, DataError
from utils.files import atomic_write_json, is_below, read_json, sha256_of_json

SCHEMA_VERSION = 1
FOLDER = "shards"


@dataclass(frozen=True)
class Shard:
    """A part of the recordings.

    Attributes:
        number: 1 to count.
        count: number of parts.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read the value of dataset.shard, such as 3/64.

        Raises:
            ConfigError: if it is none.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if match is None:
            raise ConfigError(f"dataset.shard={text} cannot be read; for the third of 64 parts type dataset.shard=3/64")
        number, count = int(match[1]), int(match[2])
        if not 1 <= number <= count <= MOST_SHARDS:
            raise ConfigError(f"dataset.shard={text} must be one of 1/{count} to {count}/{count}")
        return cls(number, count)

    def record_path(self, folder: Path) -> Path:
        """Return where its record lies in a dataset's folder; it appears when the shard is complete."""
        return folder / FOLDER / f"{self.number:05d}-of-{self.count:05d}.json"


@dataclass
class FileRecord:
    """What a shard did with one recording.

    Attributes:
        index: its number in the listing of the source.
        key: its place in the cache; empty where the file could not be read at all.
        stamp: modification time in ns and size in bytes when it was read.
        stage: where it failed: "found", "read" or "features"; None if it did not.
        problem: why it failed, for the report.
        outputs: file below cache/ -> SHA-256.
    """

    index: int
    key: str
    stamp: tuple[int, int]
    stage: str | None = None
    problem: str | None = None
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass
class ShardRecord:
    """What a merge needs to know of a shard.

    Attributes:
        shard: which one.
        settings: "waveform" and each feature -> fingerprint.
        listing: hash of the names, speakers and sizes of all recordings of the source.
        files: its recordings.
        work: what was done, as in report.json.
    """

    shard: Shard
    settings: dict[str, str]
    listing: str
    files: list[FileRecord]
    work: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write the record, which marks the shard as complete."""
        plain = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        plain = json.loads(json.dumps(plain))
        atomic_write_json(self.shard.record_path(folder), {**plain, "checksum": sha256_of_json(plain)})


def sizes_of(files: list[SourceFile]) -> list[int]:
    """Return the size of each file in bytes, 0 where it cannot be read."""
    sizes = []
    for item in files:
        try:
            sizes.append(item.path.stat().st_size)
        except OSError:
            sizes.append(0)
    return sizes


def listing_hash(files: list[SourceFile], sizes: list[int]) -> str:
    """Return a hash of what the source holds."""
    return sha256_of_json([[item.source, item.speaker, size] for item, size in zip(files, sizes, strict=True)])


def assign_shards(sizes: list[int], count: int) -> list[int]:
    """Give each file to a shard so that all have about the same number of bytes.

    The largest file first, each to the shard that has least (Graham's longest processing time rule, 1969).

    Args:
        sizes: of the files in the order of the listing, in bytes.
        count: number of shards.
    Returns:
        The shard of each file, 1 to count.
    """
    loads = [(0, number) for number in range(1, count + 1)]
    chosen = [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda item: (-sizes[item], item)):
        load, number = heapq.heappop(loads)
        chosen[index] = number
        heapq.heappush(loads, (load + max(1, sizes[index]), number))
    return chosen


def read_records(folder: Path, count: int) -> list[ShardRecord]:
    """Read the records of all shards of a dataset.

    Raises:
        DataError: if one is missing or damaged; says which and what to type.
    """
    shards = [Shard(number, count) for number in range(1, count + 1)]
    missing = [str(shard) for shard in shards if not shard.record_path(folder).is_file()]
    if missing:
        shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        raise DataError(
            f"dataset.merge={count}: {len(missing)} of {count} shards are missing or not complete in "
            f"{folder / FOLDER}: {shown}; run them with dataset.shard={missing[0]}{_other_counts(folder, count)}"
        )
    return [_read_record(shard, folder) for shard in shards]


def _other_counts(folder: Path, count: int) -> str:
    others = {path.stem.rpartition("-of-")[2] for path in (folder / FOLDER).glob("*-of-*.json")}
    counts = sorted({int(text) for text in others if text.isdigit()} - {count})
    return f" (there are shards of {', '.join(map(str, counts))}, see dataset.merge)" if counts else ""


def _read_record(shard: Shard, folder: Path) -> ShardRecord:
    path = shard.record_path(folder)
    try:
        plain = read_json(path)
        checksum = plain.pop("checksum")
        if checksum != sha256_of_json(plain) or plain["shard"] != asdict(shard):
            raise ValueError("its checksum is wrong")
        if plain["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version {plain['schema_version']!r} instead of {SCHEMA_VERSION}")
        files = [FileRecord(**row | {"stamp": tuple(row["stamp"])}) for row in plain["files"]]
        outside = [name for item in files for name in item.outputs if not is_below(name)]
        if outside:
            raise ValueError(f"{outside[0]!r} is not in the cache")
        return ShardRecord(shard, plain["settings"], plain["listing"], files, plain["work"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}); run dataset.shard={shard} again") from error


def require_alike(records: list[ShardRecord], settings: dict[str, str], listing: str, chosen: list[int]) -> None:
    """Check that the shards were made with these settings from this source, and have each recording exactly once.

    Args:
        records: of all shards.
        settings: fingerprints of this run, see ShardRecord.
        listing: hash of the source as it is now.
        chosen: the shard of each recording, see assign_shards.
    Raises:
        DataError: naming the shard and what to do.
    """
    for record in records:
        again = f"run dataset.shard={record.shard} again with the settings of this command"
        names = sorted({*settings, *record.settings})
        other = [name for name in names if settings.get(name) != record.settings.get(name)]
        if other:
            raise DataError(f"shard {record.shard} was made with other settings ({', '.join(other)} differ); {again}")
        if record.listing != listing:
            raise DataError(
                f"shard {record.shard} saw other files in dataset.source (names, speakers or sizes changed); "
                "run all shards again: what is in the cache is not computed twice"
            )
        wanted = [index for index, number in enumerate(chosen) if number == record.shard.number]
        if [item.index for item in record.files] != wanted:
            raise DataError(
                f"shard {record.shard} has {len(record.files)} recordings that are not the {len(wanted)} of its part; "
                f"{again}"
            )
