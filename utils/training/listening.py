"""Sounds that a run keeps for listening: the same clips at each validation, so that its states can be compared by ear.

They lie in <run>/listening: MP3 files, and listening.json that says what they are. Nothing here needs PyTorch.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from utils.audio.compressed import SUFFIX, encode_mp3
from utils.files import atomic_write_bytes, atomic_write_json, read_json

FOLDER, INDEX = "listening", "listening.json"
SCHEMA_VERSION = 1
MOST_STATES = 24  # of each clip; when more come, every second of the older ones goes
Role = Literal["source", "target", "converted"]
Kind = Literal["held_out", "stranger"]


@dataclass(frozen=True)
class HeardState:
    """A sound of a clip.

    Attributes:
        file: its name in the folder.
        role: "source" or "target" for recordings, "converted" for what a voice made.
        step: update after which the voice made it; None for a recording.
    """

    file: str
    role: Role
    step: int | None = None


@dataclass
class HeardClip:
    """A clip that is heard again and again.

    Attributes:
        name: unique in the run; letters, digits and underscores.
        title: for people.
        kind: "held_out", a recording of the target rebuilt, or "stranger", a source converted.
        states: recordings, then conversions by their steps.
    """

    name: str
    title: str
    kind: Kind
    states: list[HeardState] = field(default_factory=list)


class HeardSound(NamedTuple):
    """A sound to keep: its role, the step of the voice that made it (None: a recording), audio [T] and its rate."""

    role: Role
    step: int | None
    audio: np.ndarray
    sample_rate: int


class ListeningFolder:
    """Writes and reads <run>/listening.

    Args:
        run: folder of the run.
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / FOLDER

    def clips(self) -> list[HeardClip]:
        """Return what is there; nothing where the index is absent or damaged."""
        try:
            content = read_json(self.folder / INDEX)
            return [_clip(row) for row in content["clips"]]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def add(
        self, name: str, title: str, kind: Kind, sounds: Sequence[HeardSound], *, best_step: int | None = None
    ) -> None:
        """Add sounds to a clip, which is made where it is new; a state that is there already is replaced.

        Args:
            name: of the clip.
            title: for people.
            kind: of the clip.
            sounds: of it.
            best_step: of the best state so far, which stays.
        """
        clips = self.clips()
        clip = next((item for item in clips if item.name == name), None)
        if clip is None:
            clip = HeardClip(name, title, kind)
            clips.append(clip)
        for role, step, audio, sample_rate in sounds:
            label = role if step is None else f"{role}_{step:08d}"
            file = f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}_{label}{SUFFIX}"
            atomic_write_bytes(self.folder / file, encode_mp3(audio, sample_rate))
            clip.states = [state for state in clip.states if state.file != file] + [HeardState(file, role, step)]
        clip.states.sort(key=lambda state: (state.step is not None, state.step or 0, state.role))
        self._thin(clip, best_step)
        self._write(clips)

    def restart(self, step: int) -> None:
        """Remove what an interrupted run made after a step; all recordings stay where the run goes on."""
        clips = self.clips()
        if not clips:
            return
        for clip in clips:
            later = [state for state in clip.states if state.step is not None and state.step > step]
            self._remove(clip, later)
        self._write(clips)

    def _thin(self, clip: HeardClip, best_step: int | None) -> None:
        made = [state for state in clip.states if state.step is not None]
        if len(made) > MOST_STATES:
            # the first and the newest stay too
            self._remove(clip, [state for state in made[1:-1:2] if state.step != best_step])

    def _remove(self, clip: HeardClip, states: Sequence[HeardState]) -> None:
        clip.states = [state for state in clip.states if state not in states]
        for state in states:
            if state.file.endswith(SUFFIX):  # whatever the index names, nothing but our sounds goes
                (self.folder / state.file).unlink(missing_ok=True)

    def _write(self, clips: Sequence[HeardClip]) -> None:
        content = {"schema_version": SCHEMA_VERSION, "clips": [asdict(clip) for clip in clips]}
        atomic_write_json(self.folder / INDEX, content)


def _clip(row: dict[str, Any]) -> HeardClip:
    if row["kind"] not in get_args(Kind):
        raise ValueError("a clip of another kind")
    return HeardClip(str(row["name"]), str(row["title"]), row["kind"], [_state(item) for item in row["states"]])


def _state(row: dict[str, Any]) -> HeardState:
    step = row["step"]
    if row["role"] not in get_args(Role) or not (step is None or type(step) is int):
        raise ValueError("a sound of another kind")
    return HeardState(Path(row["file"]).name, row["role"], step)
