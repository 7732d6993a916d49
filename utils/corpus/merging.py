"""Prepare a dataset in shards, on as many machines as share its folder, and merge them into what one run would make.

A shard does what depends on single recordings: it fills the dataset's cache, whose files are named by the content of
the recording and the settings, and then leaves a record with checksums. The merge checks the records and runs the last
stage of the pipeline, which sees all recordings.
"""

import logging
import shutil
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from utils.config.preprocess import PreprocessJob
from utils.corpus.cache import parts_of
from utils.corpus.completion import complete
from utils.corpus.pipeline import lock_dataset
from utils.corpus.progress import progress_bar
from utils.corpus.report import ShardOutcome
from utils.corpus.run import Entry, Run, begin, drop_copies, file_stamp
from utils.corpus.shards import (
    FOLDER,
    FileRecord,
    Shard,
    ShardRecord,
    assign_shards,
    listing_hash,
    read_records,
    require_alike,
    sizes_of,
)
from utils.corpus.stages import HASH_THREADS, compute, require_familiar
from utils.corpus.teacher import Teacher
from utils.errors import DataError
from utils.files import sha256_of_file

log = logging.getLogger(__name__)


def prepare_shard(job: PreprocessJob, shard: Shard, teacher: Teacher | None = None) -> ShardOutcome:
    """Compute all that depends on single recordings for one shard; a run that was killed goes on where it was.

    Raises:
        DataError: if the source is unusable, or another process has the dataset or this shard.
    """
    run, entries = begin(job, teacher)
    sizes = sizes_of(run.listing.files)
    chosen = assign_shards(sizes, shard.count)
    own = {index: entry for index, entry in enumerate(entries) if chosen[index] == shard.number}
    record = shard.record_path(job.folder)
    with lock_dataset(job.folder, shared=True), lock_dataset(record.with_suffix("")):
        record.unlink(missing_ok=True)
        compute(list(own.values()), run)
        files = _file_records(own, run)
        work = run.finished_work().to_plain()
        ShardRecord(shard, _settings(run), listing_hash(run.listing.files, sizes), files, work).write(job.folder)
    dropped = [(entry.file.source, entry.problem) for entry in own.values() if entry.problem is not None]
    return ShardOutcome(shard, len(own), len(entries), dropped, work)


def merge_shards(job: PreprocessJob, count: int, teacher: Teacher | None = None) -> dict[str, Any]:
    """Verify all shards and make the dataset that one run over the whole source would have made.

    Checked: every shard is complete, with these settings, from the source as it is now; every recording is in exactly
    one and has not changed since; every result is there, of the right length, with its checksum.

    Returns:
        The report, as written to report.json.
    Raises:
        DataError: naming the shard to run again; the dataset is as it was before.
    """
    run, entries = begin(job, teacher)
    sizes = sizes_of(run.listing.files)
    if not job.folder.is_dir():
        raise DataError(
            f"dataset.merge={count}: {job.folder} does not exist; run the shards first: dataset.shard=1/{count}"
        )
    with lock_dataset(job.folder):
        records = read_records(job.folder, count)
        require_alike(records, _settings(run), listing_hash(run.listing.files, sizes), assign_shards(sizes, count))
        _verify_outputs(records, run)
        _recall(records, entries, run)
        require_familiar(entries, job)
        for record in records:
            _add_work(run, record.work)
        report = complete(entries, run)
        shutil.rmtree(job.folder / FOLDER)
    return report


def _settings(run: Run) -> dict[str, str]:
    return {"waveform": run.waveforms, **{name: item.fingerprint for name, item in run.features.items()}}


def _file_records(own: dict[int, Entry], run: Run) -> list[FileRecord]:
    """Describe what became of the shard's recordings, with the checksum of every result."""
    records = []
    for index, entry in own.items():
        record = FileRecord(index, entry.key, entry.stamp)
        failed = entry.problem is not None and not entry.is_copy
        if failed and (entry.recording is None or entry.recording.problem is None):
            record.stage = "found" if not entry.key else "read" if entry.recording is None else "features"
            record.problem = entry.problem
        records.append(record)
    paths = [
        (record, path) for record, entry in zip(records, own.values(), strict=True) for path in _results(entry, run)
    ]
    with ThreadPoolExecutor(HASH_THREADS) as threads, progress_bar(len(paths), "checksums", "files") as bar:
        for (record, path), checksum in zip(
            paths, threads.map(sha256_of_file, (path for _, path in paths)), strict=True
        ):
            record.outputs[path.relative_to(run.cache.folder).as_posix()] = checksum
            bar.update()
    return records


def _results(entry: Entry, run: Run) -> list[Path]:
    """Return the files of the cache that belong to a recording; what the arrays have already is not among them."""
    if entry.recording is None:
        return []
    if entry.problem is not None:
        return [run.cache.description(entry.key)]
    frames = [sum(clip.length for clip in part) for part in parts_of(entry.recording.clips)]
    samples = sum(frames) * run.hop_length
    rows = [run.cache.find_waveform(entry.key, samples)]
    rows += [run.cache.find_spoken(entry.key, samples)] if entry.lesson else []
    rows += [part for name in run.features for part in run.cache.find_feature(entry.key, name, frames)]
    in_cache = [item.path for item in rows if item.path.is_relative_to(run.cache.folder)]
    described = [run.cache.description(entry.key)] + ([run.cache.lesson(entry.key)] if entry.lesson else [])
    return [*described, *in_cache]


def _verify_outputs(records: list[ShardRecord], run: Run) -> None:
    """Compare every result with its checksum; a damaged one is removed, so that its shard computes it again."""
    allowed: dict[str, set[str]] = defaultdict(set)  # copies of a recording may be computed by two shards
    owner: dict[str, Shard] = {}
    for record in records:
        for item in record.files:
            for name, checksum in item.outputs.items():
                allowed[name].add(checksum)
                owner[name] = record.shard
    names = list(allowed)

    def is_intact(name: str) -> bool:
        path = run.cache.folder / name
        return path.is_file() and sha256_of_file(path) in allowed[name]

    damaged = []
    with ThreadPoolExecutor(HASH_THREADS) as threads, progress_bar(len(names), "verifying", "files") as bar:
        for name, intact in zip(names, threads.map(is_intact, names), strict=True):
            damaged += [] if intact else [name]
            bar.update()
    if damaged:
        for name in damaged:
            (run.cache.folder / name).unlink(missing_ok=True)
        shards = sorted({owner[name] for name in damaged}, key=lambda shard: shard.number)
        raise DataError(
            f"{len(damaged)} results are damaged or gone, for example {run.cache.folder / damaged[0]}; "
            f"run these shards again, which compute only those: dataset.shard={','.join(map(str, shards))}"
        )


def _recall(records: list[ShardRecord], entries: list[Entry], run: Run) -> None:
    """Bring every recording to the state that it would have after one run over all, in the order of its stages."""
    done = {item.index: (item, record.shard) for record in records for item in record.files}
    for index, entry in enumerate(entries):
        item, shard = done[index]
        entry.key, entry.stamp = item.key, item.stamp
        entry.problem = item.problem if item.stage == "found" else None
        if item.key and file_stamp(entry.file.path) != item.stamp:
            raise DataError(f"{entry.file.source} has changed since it was prepared; run dataset.shard={shard} again")
    drop_copies(entries, by="key", words="same content as")
    for index, entry in enumerate(entries):
        item, shard = done[index]
        if entry.problem is None and item.stage == "read":
            entry.problem = item.problem
        elif entry.problem is None:
            entry.recording = run.cache.load_recording(entry.key, run.job.audio.hop_length)
            if entry.recording is None:
                raise DataError(f"{entry.file.source} is not in the cache any more; run dataset.shard={shard} again")
            entry.problem = entry.recording.problem
            entry.notes += entry.recording.notes
    drop_copies(entries, by="checksum", words="same sound as")
    for index, entry in enumerate(entries):
        item, shard = done[index]
        if entry.problem is None and item.stage == "features":
            entry.problem = item.problem
        elif entry.problem is None and entry.recording is not None:
            _require_features(entry, run, shard)


def _require_features(entry: Entry, run: Run, shard: Shard) -> None:
    assert entry.recording is not None
    if run.teacher is not None:
        entry.lesson = run.cache.load_lesson(entry.key, entry.recording.num_frames * run.hop_length)
        if entry.lesson is None:
            raise DataError(
                f"{entry.file.source} is not converted in the cache any more; run dataset.shard={shard} again"
            )
    for part, clips in enumerate(parts_of(entry.recording.clips)):
        missing = run.cache.missing(entry.key, part, sum(clip.length for clip in clips))
        if missing:
            names = ", ".join(missing)
            raise DataError(f"{entry.file.source} has lost {names} in the cache; run dataset.shard={shard} again")


def _add_work(run: Run, work: dict[str, Any]) -> None:
    """Add what a shard did to the report, as if one process had done it."""
    run.work.read += work["files_read"]
    run.work.reused += work["files_reused"]
    run.work.converted += work.get("files_converted", 0)
    run.work.audio_seconds += work["audio_seconds"]
    run.seconds_before += work["seconds"]
    for name, number in work["files_computed"].items():
        run.work.features[name] += number
