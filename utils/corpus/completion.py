"""The last stage: from the results of all recordings to the dataset and its report."""

from typing import Any

import numpy as np

from utils.config.preprocess import PreprocessJob
from utils.corpus.copies import Copy, find_copies
from utils.corpus.description import DatasetDescription
from utils.corpus.manifest import Clip
from utils.corpus.packing import PackItem, describe_speakers, load_feature, pack, previous_splits, split_clips
from utils.corpus.report import FileReport, report_json, speaker_notes, split_notes, teacher_notes
from utils.corpus.run import Entry, Run
from utils.corpus.sound_print import HOP_FRAMES, print_of_text
from utils.corpus.split import HeldOutSettings
from utils.errors import DataError
from utils.files import atomic_write_json

UNVOICED_SECONDS = 1.0  # below this a recording must have a voiced frame to be of use


def complete(entries: list[Entry], run: Run) -> dict[str, Any]:
    """Make the dataset of recordings whose results all lie in the cache; returns the report.

    Raises:
        DataError: if nothing is usable; a dataset that existed is unchanged.
    """
    _drop_unvoiced(entries, run)
    used = [item for item in entries if item.problem is None]
    items = [PackItem(item.file, item.key, item.recording) for item in used if item.recording is not None]
    if not items:
        raise DataError(_nothing_usable(run.job, entries))
    return _finish(run, entries, items)


def _drop_unvoiced(entries: list[Entry], run: Run) -> None:
    """Drop clicks and the like: very short recordings without a voiced frame."""
    for entry in entries:
        recording = entry.recording
        if recording is None or entry.problem is not None:
            continue
        if recording.num_samples >= UNVOICED_SECONDS * run.job.audio.sample_rate:
            continue
        if np.any(load_feature(run.cache, PackItem(entry.file, entry.key, recording), "f0_hz") > 0):
            entry.notes.append(f"very short ({recording.seconds:.2f} s)")
        else:
            entry.problem = f"very short ({recording.seconds:.2f} s) and nothing in it is voiced"


def _finish(run: Run, entries: list[Entry], items: list[PackItem]) -> dict[str, Any]:
    """Replace the dataset, write the report, and remove what is not needed any more."""
    job, cache = run.job, run.cache
    held_out = HeldOutSettings(share=job.preprocess.held_out_share, min_files=job.preprocess.held_out_files)
    previous = previous_splits(job.folder, held_out)
    used = [entry for entry in entries if entry.problem is None and entry.recording is not None]
    copies = _copies(used, run) if held_out.share or held_out.min_files else []
    clips = split_clips(items, job.audio, previous, held_out, copies)
    plan = DatasetDescription(
        name=job.folder.name,
        source=str(job.source),
        audio=job.audio,
        reading=job.preprocess.reading_values(),
        reading_fingerprint=run.waveforms,
        content_copies=job.preprocess.content_copies,
        held_out=held_out,
        speakers=describe_speakers(items, cache, clips),
        features=run.features,
        teacher=run.lessons,
    )
    pack(job.folder, items, clips, cache=cache, plan=plan)
    cache.prune({item.key for item in entries if item.recording is not None}, {item.key for item in items})
    report = report_json(
        plan,
        files=_file_reports(entries, clips),
        listing=run.listing,
        notes=[*teacher_notes(plan.teacher), *split_notes(clips, held_out), *speaker_notes(clips)],
        work=run.finished_work(),
    )
    atomic_write_json(job.folder / "report.json", report)
    return report


def _copies(used: list[Entry], run: Run) -> list[Copy]:
    """Find the recordings that share sound, and note it."""
    recordings = [entry.recording for entry in used if entry.recording is not None]
    hop = run.job.audio.hop_length

    def read(index: int, first: int, end: int) -> np.ndarray:
        rows = run.cache.find_waveform(used[index].key, recordings[index].num_frames * hop)
        return rows.part(first * HOP_FRAMES * hop, end * HOP_FRAMES * hop)

    prints = [print_of_text(recording.sound_print or "") for recording in recordings]
    copies = find_copies(prints, read, run.job.audio.sample_rate)
    for copy in copies:
        words = f"shares {copy.seconds:.1f} s of sound with {used[copy.first].file.source}, as copies and cuts do"
        used[copy.second].copy_of = used[copy.first].file.source
        used[copy.second].notes.append(f"{words}: on the same side of the held-out border")
    return copies


def _file_reports(entries: list[Entry], clips: list[Clip]) -> list[FileReport]:
    by_checksum: dict[str, list[Clip]] = {}
    for clip in clips:
        by_checksum.setdefault(clip.checksum, []).append(clip)
    reports = []
    for entry in entries:
        recording = entry.recording
        own = by_checksum[recording.checksum] if recording is not None and entry.problem is None else []
        splits = {clip.split for clip in own}
        report = FileReport(entry.file.source, entry.file.speaker, entry.problem, entry.notes)
        report.copy_of = entry.copy_of
        if recording is not None:
            report.seconds, report.decoder = recording.seconds, recording.decoder
            report.gain_db, report.loudness_lufs = round(recording.gain_db, 2), recording.loudness_lufs
        if entry.lesson is not None:
            report.pitch_shift = entry.lesson.pitch_shift
        if own:
            report.clips, report.used_seconds = len(own), round(sum(clip.duration_seconds for clip in own), 3)
            report.split = "both" if len(splits) > 1 else own[0].split
        reports.append(report)
    return reports


def _nothing_usable(job: PreprocessJob, entries: list[Entry]) -> str:
    reasons = "; ".join(f"{item.file.source}: {item.problem}" for item in entries[:3])
    more = f"; and {len(entries) - 3} more" if len(entries) > 3 else ""
    return f"dataset.source={job.source}: none of its {len(entries)} files is usable ({reasons}{more})"
