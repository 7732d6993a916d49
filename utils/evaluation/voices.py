"""The voices that can be evaluated: a run, an export, a graph, a .pth of RVC, or recordings that somebody converted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.audio.decoding import SOUND_SUFFIXES
from utils.errors import ConfigError, DataError, FormatError
from utils.files import files_below
from utils.inference.figures import track_pitch
from utils.inference.measures import PitchMeter, automatic_shift, limited_shift
from utils.inference.opening import exported, is_run
from utils.inference.pipeline import convert_file, output_names
from utils.inference.session import VoiceSession
from utils.inference.source import read_source

WHAT = "a run, an exported voice (its folder or .onnx), a .pth of RVC, or a folder of converted recordings"


@dataclass
class Voice:
    """A voice to be evaluated.

    Attributes:
        name: for tables.
        path: what was given.
        graph: it converts with this; None for recordings that are converted already.
        failures: (file, reason) of sources that it could not convert.
    """

    name: str
    path: Path
    graph: Path | None
    failures: list[tuple[str, str]]


def open_voice(path: Path, work: Path) -> Voice:
    """Find out what a path is, and export a run or a .pth into a folder: what is evaluated is what is delivered.

    Raises:
        ConfigError: if it is nothing that can be evaluated, or cannot be exported.
    """
    if not path.exists():
        raise ConfigError(f"evaluate={path} does not exist; give {WHAT}")
    if path.is_file():
        if path.suffix.lower() == ".onnx":
            return Voice(path.stem, path, path, [])
        if path.suffix.lower() == ".pth":
            return Voice(path.stem, path, exported([f"voice={path.resolve()}"], work), [])
        raise ConfigError(f"evaluate={path} is no voice; give {WHAT}")
    if is_run(path):
        return Voice(path.name, path, exported([f"run={path.resolve()}"], work), [])
    graphs = sorted(item for item in path.glob("*.onnx") if not item.name.endswith("_stream.onnx"))
    if graphs:
        return Voice(path.name, path, graphs[0], [])
    if any(item.suffix.lower() in SOUND_SUFFIXES for item in files_below(path)):
        return Voice(path.name, path, None, [])
    raise ConfigError(f"evaluate={path} holds neither a voice nor recordings; give {WHAT}")


def convert_sources(
    voice: Voice, sources: Sequence[Path], root: Path, output: Path, controls: Mapping[str, float], *, step: int | None
) -> None:
    """Convert sources with a voice; those that fail are noted in the voice.

    Args:
        voice: that has a graph.
        sources: recordings below `root`.
        root: folder of the sources.
        output: folder of the converted files, named as test_model.py names them.
        controls: values of the graph's optional inputs.
        step: each recording is moved to the median pitch of the target by a multiple of so many semitones; None: not.
    Raises:
        ConfigError: if the graph does not have a control, or does not tell its median pitch.
        DataError: if nothing could be converted.
    """
    assert voice.graph is not None
    session = VoiceSession.open(voice.graph)
    session.check_controls(dict(controls))
    median_hz = _median_hz(session, controls) if step else 0.0
    meter = PitchMeter() if step else None
    names = output_names([source.relative_to(root) for source in sources])
    failed = 0
    for source, name in zip(sources, names, strict=True):
        try:
            with read_source(source, session.sample_rate) as sound:
                used = dict(controls)
                if meter is not None and step is not None:
                    pitch = track_pitch(meter, sound, session.sample_rate)
                    used["pitch_shift"] = limited_shift(automatic_shift(pitch, median_hz, step))
                convert_file(session, sound, output / name, used)
        except (DataError, FormatError) as error:
            failed += 1
            voice.failures.append((str(source), str(error)))
    if failed == len(sources):
        raise DataError(f"{voice.path} converted none of {failed} sources: {voice.failures[-1][1]}")


def _median_hz(session: VoiceSession, controls: Mapping[str, float]) -> float:
    median = session.f0_median_hz(int(controls["speaker_id"]) if "speaker_id" in controls else None)
    if median is None:
        raise ConfigError(
            f"pitch_shift=auto needs the target's median pitch, which {session.path.name} does not tell; give semitones"
        )
    return median
