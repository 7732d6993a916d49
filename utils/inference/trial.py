"""Try an exported voice on recordings: convert them, measure everything, report."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.config.test_model import ConvertJob
from utils.console import utf8_text
from utils.errors import ConfigError, DataError, FormatError
from utils.files import atomic_write_json, check_new_file
from utils.inference.figures import conversion_figures, track_pitch
from utils.inference.measures import (
    SPEED_SECONDS,
    PitchMeter,
    automatic_shift,
    is_pitch_known,
    limited_shift,
    measure_speed,
    wrong_lengths,
)
from utils.inference.pipeline import convert_file, find_recordings, output_paths, overlooked_recordings
from utils.inference.session import VoiceSession
from utils.inference.source import SourceAudio, SpooledSound, read_source
from utils.voice_file.controls import refuse_idle_controls
from utils.voice_file.signature import GraphValue
from utils.voice_file.speakers import speaker_number

REPORT_SCHEMA_VERSION = 1
log = logging.getLogger(__name__)


def run_trial(job: ConvertJob, announce: Callable[[str], None]) -> dict[str, Any]:
    """Convert and measure; write the report.

    Args:
        job: what to do.
        announce: is given one line of text for each recording as it is done.
    Returns:
        The content of the report: "graph", "left_out", "speed", "files", "failures", "report".
    Raises:
        ConfigError: if a setting does not fit the graph or does nothing with it.
        FormatError: if the graph cannot be loaded.
        DataError: if there is no recording.
    """
    graph, recordings = job.graph, job.recordings
    session = VoiceSession.open(graph, job.threads[-1])
    controls = job.controls | _speaker_control(session, job.speaker)
    session.check_controls(controls | ({"pitch_shift": 0.0} if job.is_pitch_automatic else {}))
    asked = job.controls | ({"pitch_shift": str(job.pitch_shift)} if job.is_pitch_automatic else {})
    refuse_idle_controls(asked, session.idle_controls, session.path.name)
    output = job.output or Path("converted") / session.name
    places = output_paths(find_recordings(recordings), recordings, output)
    report_place = job.report or (
        output.with_suffix(".json") if output.suffix.lower() == ".wav" else output / "report.json"
    )
    for place in places.values():
        check_new_file(place, "output", [graph])
    check_new_file(report_place, "report", [graph, *places, *places.values()])
    target = None
    if job.pitch_step is not None:
        target = _PitchTarget(_target_median_hz(session, int(controls.get("speaker_id", -1)), job), job.pitch_step)
    report: dict[str, Any] = {"schema_version": REPORT_SCHEMA_VERSION, "graph": describe_graph(session)}
    report["left_out"] = [utf8_text(str(path)) for path in overlooked_recordings(recordings)]
    for path in report["left_out"]:
        announce(f"left out {path}: it holds sound, but its name ends otherwise; rename it, for example to .wav")
    trial = _Trial(session, controls, target, announce)
    trial.convert_all(places)
    report["speed"] = _speeds(job, trial.example, announce)
    for speed in report["speed"]:
        threads = speed["num_threads"]
        report[f"rtf_{threads}_thread{'s' if threads > 1 else ''}"] = speed["real_time_factor"]
    report["files"], report["failures"] = trial.files, trial.failures
    atomic_write_json(report_place, report)
    return {**report, "report": str(report_place)}


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


class _PitchTarget(NamedTuple):
    """The median pitch that each recording is moved to, in steps of so many semitones."""

    median_hz: float
    step: int


class _Trial:
    """Converts recordings one by one and keeps what was measured.

    Args:
        session: the voice.
        controls: values of its overridable inputs.
        target: the pitch that each recording is moved to; None leaves it to the controls.
        announce: is given one line of text for each recording.
    """

    def __init__(
        self,
        session: VoiceSession,
        controls: dict[str, float],
        target: _PitchTarget | None,
        announce: Callable[[str], None],
    ) -> None:
        self.session = session
        self.controls = controls
        self.target = target
        self.announce = announce
        self.meter = PitchMeter()
        self.files: list[dict[str, Any]] = []
        self.failures: list[dict[str, str]] = []
        self.example: np.ndarray | None = None

    def convert_all(self, places: dict[Path, Path]) -> None:
        """Convert each recording to its place; one that fails is recorded and does not stop the rest."""
        for path, place in places.items():
            try:
                with read_source(path, self.session.sample_rate) as source:
                    row = self.convert_one(path, source, place)
                    if self.example is None:
                        self.example = source.read(0, min(len(source), round(SPEED_SECONDS * self.session.sample_rate)))
            except (DataError, FormatError) as error:
                self.fail(path, str(error))
                continue
            self.files.append(row)
            self.announce(_line(row))

    def fail(self, path: Path, reason: str) -> None:
        """Record that a recording was not converted as it should be."""
        self.failures.append({"file": utf8_text(str(path)), "reason": utf8_text(reason)})
        self.announce(f"FAILED {path.name}: {reason}")

    def convert_one(self, path: Path, source: SourceAudio, place: Path) -> dict[str, Any]:
        """Convert a recording and return its row of the report."""
        rate = self.session.sample_rate
        source_pitch = track_pitch(self.meter, source, rate)
        used, note = dict(self.controls), None
        if self.target is not None:
            used["pitch_shift"] = limited_shift(automatic_shift(source_pitch, self.target.median_hz, self.target.step))
            if not is_pitch_known(source_pitch):
                note = "too little of it is voiced to tell its pitch, which is left as it is"
        started = time.perf_counter()
        with SpooledSound() as converted:
            length = convert_file(self.session, source, place, used, converted.append)
            taken = time.perf_counter() - started
            figures = conversion_figures(self.meter, source, source_pitch, converted, rate)
        seconds, has_same_length = len(source) / rate, length == len(source)
        if not has_same_length:
            self.fail(path, f"the graph made {length} samples of {len(source)}; {place} holds them")
        return {
            "file": utf8_text(str(path)),
            "output": utf8_text(str(place)),
            "seconds": round(seconds, 3),
            "rate": rate,
            "original_rate": source.original_rate,
            "original_channels": source.original_channels,
            "is_resampled": source.original_rate != rate,
            "problem": source.problem,
            "note": note,
            "controls": used,
            "conversion_real_time_factor": taken / max(seconds, 1e-3),
            "has_same_length": has_same_length,
            **figures,
        }


def _speeds(job: ConvertJob, example: np.ndarray | None, announce: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the speed with each number of threads; nothing without a converted recording or if the graph fails."""
    if example is None:
        return []
    try:
        return [asdict(measure_speed(VoiceSession.open(job.graph, count), example)) for count in job.threads]
    except FormatError as error:
        announce(f"speed was not measured: {error}")
        return []


def _speaker_control(session: VoiceSession, speaker: str | int | None) -> dict[str, float]:
    if speaker is None:
        return {}
    if not session.speakers and isinstance(speaker, int):  # a graph of another program, which has numbers alone
        return {"speaker_id": speaker}
    return {"speaker_id": speaker_number(speaker, session.speakers, "speaker", session.path.name)}


def _target_median_hz(session: VoiceSession, speaker_id: int, job: ConvertJob) -> float:
    """Return the median pitch of a speaker (-1: the graph's default).

    Raises:
        ConfigError: if the graph does not tell.
    """
    if session.metadata is not None:
        chosen = speaker_id if speaker_id >= 0 else int(session.metadata.defaults["speaker_id"])
        median = session.metadata.speakers[chosen].f0_median_hz
        if median > 0:
            return median
    raise ConfigError(
        f"pitch_shift={job.pitch_shift} needs the target's median pitch, which {session.path.name} does not tell; give "
        "semitones"
    )


def _line(row: dict[str, Any]) -> str:
    channels = {1: "mono", 2: "stereo"}.get(row["original_channels"], f"{row['original_channels']} channels")
    rate = f"{row['original_rate']} Hz"
    change = f"{rate} resampled to {row['rate']} Hz" if row["is_resampled"] else f"{rate} as the graph"
    shift = f", pitch {row['controls']['pitch_shift']:+g} st" if "pitch_shift" in row["controls"] else ""
    problem = f" (DAMAGED: {row['problem']})" if row["problem"] else ""
    problem += f" ({row['note']})" if row["note"] else ""
    return f"{Path(row['file']).name}: {row['seconds']:.2f} s, {channels}, {change}{shift} -> {row['output']}{problem}"
