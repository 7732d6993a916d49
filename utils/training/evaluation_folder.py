"""States of a run that are judged while it trains: what waits, what was found, and which is best. No PyTorch here.

<run>/evaluation/material/            the fixed sounds; utils.run_evaluation makes them
<run>/evaluation/waiting_<step>.ckpt  a state that is to be judged
<run>/evaluation/found_<step>/        figures.json and conversions, until the training has taken notice of them
<run>/evaluation/<step>.json          the figures after that
"""

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.files import atomic_write_json, read_json

FOLDER, MATERIAL, FIGURES, LOCK = "evaluation", "material", "figures.json", ".lock"
WAITING, FOUND = "waiting_", "found_"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class HeardStranger:
    """A conversion that was judged; its files lie below <run>/evaluation.

    Attributes:
        name: unique in the material.
        title: for people.
        source: what was converted.
        converted: what came out.
    """

    name: str
    title: str
    source: str
    converted: str


@dataclass(frozen=True)
class JudgedState:
    """What was found of a state.

    Attributes:
        step: update after which it was saved.
        figures: by name, without those that could not be computed.
        material: identity of the sounds; only states with the same one compare.
        score: of utils.evaluation.score; None where nobody can tell speakers apart.
        missing: evaluator that is not installed -> the command that installs it.
        sounds: conversions of strangers.
    """

    step: int
    figures: dict[str, float]
    material: str
    score: float | None = None
    missing: dict[str, str] = field(default_factory=dict)
    sounds: tuple[HeardStranger, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "step": self.step,
            "material": self.material,
            "score": self.score,
            "figures": self.figures,
            "missing": self.missing,
            "sounds": [vars(sound) for sound in self.sounds],
        }

    @classmethod
    def read(cls, path: Path) -> "JudgedState | None":
        """Read a file; None where it is damaged."""
        try:
            plain = read_json(path)
            score = plain["score"]
            return cls(
                int(plain["step"]),
                {str(key): float(value) for key, value in plain["figures"].items()},
                str(plain["material"]),
                None if score is None else float(score),
                dict(plain["missing"]),
                tuple(HeardStranger(**row) for row in plain["sounds"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


class EvaluationFolder:
    """Reads and writes <run>/evaluation.

    Args:
        run: folder of the run.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.folder = run / FOLDER

    def keep(self, step: int, checkpoint: Path) -> None:
        """Keep a state for judging: another name of its file where the file system can, else a copy."""
        target = self.waiting_path(step)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(checkpoint, target)
        except OSError:
            partial = target.with_suffix(".partial")
            shutil.copyfile(checkpoint, partial)
            partial.replace(target)

    def waiting_path(self, step: int) -> Path:
        """Return where a state lies that is to be judged."""
        return self.folder / f"{WAITING}{step:08d}.ckpt"

    def found_path(self, step: int) -> Path:
        """Return the folder of what was found of a state."""
        return self.folder / f"{FOUND}{step:08d}"

    def waiting(self) -> list[int]:
        """Return the steps of the states that are to be judged and are not yet, the earliest first."""
        steps = [_step(path.stem, WAITING) for path in self.folder.glob(f"{WAITING}*.ckpt")]
        return sorted(step for step in steps if step is not None and not self.found_path(step).is_dir())

    def found(self) -> list[int]:
        """Return the steps of what was found and not yet taken notice of, the earliest first."""
        steps = [_step(path.name, FOUND) for path in self.folder.glob(f"{FOUND}*") if path.is_dir()]
        return sorted(step for step in steps if step is not None)

    def states(self) -> list[JudgedState]:
        """Return what the training has taken notice of, the earliest first."""
        read = (JudgedState.read(path) for path in sorted(self.folder.glob("[0-9]*.json")))
        return sorted((state for state in read if state is not None), key=lambda state: state.step)

    def accept(self, state: JudgedState) -> None:
        """Take notice of what was found of a state: its figures stay, its sounds go."""
        atomic_write_json(self.folder / f"{state.step:08d}.json", state.to_plain())
        shutil.rmtree(self.found_path(state.step), ignore_errors=True)

    def restart(self, step: int) -> None:
        """Remove everything of states beyond the one that a run goes on from."""
        for path in self._of_states():
            found = _step(path.stem, WAITING, FOUND, "")
            if found is not None and found > step:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _of_states(self) -> Iterator[Path]:
        for pattern in (f"{WAITING}*", f"{FOUND}*", "[0-9]*.json"):
            yield from self.folder.glob(pattern)


def best_state(states: Sequence[JudgedState]) -> JudgedState | None:
    """Return the latest of the states with the highest score, of those that have the newest material; None without."""
    scored = [state for state in states if state.score is not None and math.isfinite(state.score)]
    comparable = [state for state in scored if state.material == scored[-1].material]
    return max(comparable, key=lambda state: (state.score, state.step), default=None)


def _step(name: str, *prefixes: str) -> int | None:
    for prefix in prefixes:
        digits = name.removeprefix(prefix)
        if name.startswith(prefix) and digits.isdigit():
            return int(digits)
    return None
