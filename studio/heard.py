"""Recordings that saved states of a training converted for listening: where they lie and what each is.

    place = folder_of(workspace.folder, "alice", Settings("last", shift="auto", index_rate=0.5))
    for sound in heard_sounds(workspace, "alice"): sound.recording, sound.words(say), sound.path

A folder for each state and settings, below .studio/heard/<run>; its name says both, so that nothing else must be kept.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.texts import Texts
from studio.workspace import STATE, Workspace, read_json

HEARD = f"{STATE}/heard"
STATES = ("best", "last", "previous")
OWN = "own"  # what the voice does by itself
NAME = re.compile(
    r"(?P<state>best|last|previous)@(?P<saved>[0-9-]+)@(?P<shift>[a-z_]+|-?[0-9.]+)@(?P<index_rate>own|[0-9.]+)"
    r"@(?P<protect>own|[0-9.]+)"
)


@dataclass(frozen=True)
class Settings:
    """A saved state and how it converts.

    Attributes:
        state: one of STATES.
        shift: "auto", "auto_octave", OWN, or semitones as a number.
        index_rate, protect: values of the controls; None: what the voice has by itself.
    """

    state: str
    shift: str = "auto"
    index_rate: float | None = None
    protect: float | None = None

    @classmethod
    def of(cls, typed: Mapping[str, Any], key: str) -> "Settings":
        """Read what was typed into the fields <key>.state, .pitch, .semitones, .index_rate and .protect."""
        state, numbers = str(typed.get(f"{key}.state") or "best"), (f"{key}.index_rate", f"{key}.protect")
        return cls(state, shift_of(typed, key), *(typed.get(name) for name in numbers))

    @property
    def controls(self) -> list[str]:
        """What test_model.py is told."""
        return control_words(self.shift, {"index_rate": self.index_rate, "protect": self.protect})


def shift_of(typed: Mapping[str, Any], key: str) -> str:
    """Return what the fields <key>.pitch and .semitones say: semitones, "auto", "auto_octave" or OWN."""
    shift = str(typed.get(f"{key}.pitch") or OWN)
    return f"{float(typed.get(f'{key}.semitones') or 0):g}" if shift == "fixed" else shift


def control_words(shift: str, numbers: Mapping[str, float | None]) -> list[str]:
    """Return what test_model.py is told of the controls; what is None or OWN is left to the voice."""
    words = [] if shift == OWN else [f"pitch_shift={shift}"]
    return words + [f"{name}={value:g}" for name, value in numbers.items() if value is not None]


@dataclass(frozen=True)
class HeardSound:
    """A recording that a state converted.

    Attributes:
        path: the sound.
        settings: of the conversion.
        step: update of the state; None where the report does not say it.
    """

    path: Path
    settings: Settings
    step: int | None

    @property
    def recording(self) -> str:
        """Name of the recording, without its ending."""
        return self.path.stem

    def words(self, say: Texts) -> str:
        """Return what it is, in words."""
        state = say(f"listen.state_{self.settings.state}")
        step = [say("role.step", step=self.step)] if self.step is not None else []
        return ", ".join([state, *step, *self.settings.controls])


def states_of(run: Path) -> list[str]:
    """Return the saved states of a run."""
    return [state for state in STATES if checkpoint_of(run, state).is_file()]


def checkpoint_of(run: Path, state: str) -> Path:
    """Return the file of a saved state."""
    return run / "checkpoints" / f"{state}.ckpt"


def folder_of(work: Path, run: str, settings: Settings) -> Path:
    """Return where conversions go, from the folder of the voices; another file under the name of a state is another."""
    path = checkpoint_of(work / "runs" / run, settings.state)
    saved = time.strftime("%Y%m%d-%H%M%S", time.gmtime(path.stat().st_mtime)) if path.is_file() else "0"
    numbers = [OWN if value is None else f"{value:g}" for value in (settings.index_rate, settings.protect)]
    return Path(HEARD) / run / "@".join([settings.state, saved, settings.shift, *numbers])


def heard_sounds(workspace: Workspace, run: str) -> list[HeardSound]:
    """Return what was converted with the states of a run, the newest first."""
    found: list[tuple[float, HeardSound]] = []
    for folder in (workspace.folder / HEARD / run).glob("*@*"):
        parts = NAME.fullmatch(folder.name)
        if parts is None:
            continue
        settings = Settings(parts["state"], parts["shift"], _number(parts["index_rate"]), _number(parts["protect"]))
        metadata = (read_json(folder / "report.json").get("graph") or {}).get("metadata") or {}
        step = metadata.get("step")
        for path in workspace.sounds(folder):
            found.append((path.stat().st_mtime, HeardSound(path, settings, step if isinstance(step, int) else None)))
    return [sound for _, sound in sorted(found, key=lambda item: -item[0])]


def _number(text: str) -> float | None:
    return None if text == OWN else float(text)
