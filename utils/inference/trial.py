"""Try an exported voice on recordings: convert them, measure everything, report."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.audio.writing import sound_format
from utils.config.test_model import ConvertJob
from utils.console import utf8_text
from utils.errors import ConfigError, FormatError
from utils.files import atomic_write_json, check_new_file, sha256_of_file
from utils.inference.done_before import DoneBefore
from utils.inference.folder_trial import FolderTrial, OutputSettings, PitchTarget
from utils.inference.measures import measure_speed, wrong_lengths
from utils.inference.opened_voice import speaker_number_of, target_median_hz
from utils.inference.opening import graph_of, is_saved_state
from utils.inference.pipeline import find_recordings, is_sound_file, output_paths, overlooked_recordings
from utils.inference.session import VoiceSession
from utils.voice_file.controls import refuse_idle_controls
from utils.voice_file.signature import GraphValue

REPORT_SCHEMA_VERSION = 1
log = logging.getLogger(__name__)


def run_trial(job: ConvertJob, announce: Callable[[str], None]) -> dict[str, Any]:
    """Convert and measure; write the report.

    Args:
        job: what to do. A run, or a state of one, is exported first, once for each content.
        announce: is given one line of text for each recording as it is done.
    Returns:
        The content of the report: "graph", "left_out", "speed", "files", "failures", "report".
    Raises:
        ConfigError: if a setting does not fit the graph or does nothing with it.
        FormatError: if the graph cannot be loaded.
        DataError: if there is no recording.
    """
    if is_saved_state(job.graph):
        announce(f"{job.graph}: exporting it, unless that was done before")
        job = job.model_copy(update={"onnx": graph_of(job.graph)})
    session = VoiceSession.open(job.graph, job.threads[-1])
    controls = _checked_controls(job, session)
    plan = _plan(job, session)
    target, step = None, job.pitch_step
    if step is None and session.metadata is not None and "pitch_shift" not in controls:
        step = session.metadata.pitch_step  # what the graph would do by itself, but once for all pieces of a recording
    if step is not None:
        target = PitchTarget(target_median_hz(session, controls, str(job.pitch_shift)), step)
    report: dict[str, Any] = {"schema_version": REPORT_SCHEMA_VERSION, "graph": describe_graph(session)}
    report["left_out"] = [utf8_text(str(path)) for path in overlooked_recordings(job.recordings)]
    for path in report["left_out"]:
        announce(f"left out {path}: it holds sound, but its name ends otherwise; rename it, for example to .wav")
    before = DoneBefore(plan.report, _what_counts(job, controls), resumes=job.resume)
    trial = FolderTrial(session, controls, target, announce, settings=plan.settings, before=before)
    trial.convert_all(plan.places, job.workers)
    report["speed"] = _speeds(job, trial.example, announce)
    for speed in report["speed"]:
        threads = speed["num_threads"]
        report[f"rtf_{threads}_thread{'s' if threads > 1 else ''}"] = speed["real_time_factor"]
    report["files"], report["failures"] = trial.files, trial.failures
    atomic_write_json(plan.report, report)
    before.finish()
    return {**report, "report": str(plan.report)}


class _Plan(NamedTuple):
    """Where everything goes."""

    places: dict[Path, Path]
    report: Path
    settings: OutputSettings


def _plan(job: ConvertJob, session: VoiceSession) -> _Plan:
    output = job.output or Path("converted") / session.name
    kind = sound_format(job.format, output if is_sound_file(output) else Path("x.wav"))
    if is_sound_file(output) and output.suffix.lower() != kind.suffix:
        raise ConfigError(f"output={output} does not end with {kind.suffix}, as files of format={job.format} do")
    places = output_paths(find_recordings(job.recordings), job.recordings, output, kind.suffix)
    report = job.report or (output.with_suffix(".json") if is_sound_file(output) else output / "report.json")
    for place in places.values():
        check_new_file(place, "output", [job.graph])
    check_new_file(report, "report", [job.graph, *places, *places.values()])
    rate = kind.rate_for(job.output_rate or session.sample_rate)
    return _Plan(places, report, OutputSettings(kind, rate, job.channels == "keep", job.tags))


def _checked_controls(job: ConvertJob, session: VoiceSession) -> dict[str, float]:
    chosen = {} if job.speaker is None else {"speaker_id": float(speaker_number_of(session, job.speaker))}
    controls = job.controls | chosen
    if job.source is not None:
        controls["source_id"] = float(speaker_number_of(session, job.source, "source"))
    session.check_controls(controls | ({"pitch_shift": 0.0} if job.is_pitch_automatic else {}))
    asked = job.controls | ({"pitch_shift": str(job.pitch_shift)} if job.is_pitch_automatic else {})
    refuse_idle_controls(asked, session.idle_controls, session.path.name)
    return controls


def _what_counts(job: ConvertJob, controls: Mapping[str, float]) -> dict[str, Any]:
    """Return what the results depend on, besides the recordings."""
    return {
        "graph": sha256_of_file(job.graph),
        "controls": dict(controls),
        "pitch_shift": str(job.pitch_shift),
        "output": [job.format, job.output_rate, job.channels, job.tags, str(job.output)],
    }


def describe_graph(session: VoiceSession) -> dict[str, Any]:
    """Return what the graph takes, gives and says about itself, and whether it keeps the length of its input."""
    wrong = wrong_lengths(session)
    return {
        "file": utf8_text(session.path.name),
        "bytes": session.path.stat().st_size,
        "sample_rate": session.sample_rate,
        "inputs": [_described(value) for value in session.inputs],
        "overridable_inputs": [_described(value) for value in session.overridable],
        "outputs": [_described(value) for value in session.outputs],
        "metadata": asdict(session.metadata) if session.metadata else None,
        "keeps_length": not wrong,
        "wrong_lengths": wrong,
    }


def _described(value: GraphValue) -> dict[str, Any]:
    return {"name": value.name, "type": value.type, "shape": list(value.shape)}


def _speeds(job: ConvertJob, example: np.ndarray | None, announce: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the speed with each number of threads; nothing without a converted recording or if the graph fails."""
    if example is None:
        return []
    try:
        return [asdict(measure_speed(VoiceSession.open(job.graph, count), example)) for count in job.threads]
    except FormatError as error:
        announce(f"speed was not measured: {error}")
        return []
