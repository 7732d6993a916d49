"""The recordings that a voice is judged by: whose they are, what is done to them, and what is known of their pitch."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from benchmarks.judged_sounds import laughed, sung, whispered
from benchmarks.known_pitch import Sound, Voice, describe_voice
from benchmarks.melody import cents_from, near
from benchmarks.sources import pick_sources
from utils.audio.frames import FEATURE_HOP, FEATURE_RATE
from utils.audio.io import load_audio
from utils.audio.listing import list_audio, spread
from utils.features.pitch.world import WorldPitch

NOTES_OF_CLIP, NOTE_PAUSE_SECONDS = 4, 0.2


@dataclass(frozen=True)
class Clip:
    """A recording to convert.

    Attributes:
        name: of its files.
        clean: [T] at the voice's rate, whose words and pitch count.
        given: [T], what the voice is fed.
        sung: its true pitch, for sung and laughed lines.
        can_tell: in which of its voiced frames the pitch can be told from the line itself, for these.
    """

    name: str
    clean: np.ndarray
    given: np.ndarray
    sung: Sound | None = None
    can_tell: np.ndarray | None = None


class ClipMaker:
    """Makes the clips of each condition at a voice's rate.

    Args:
        options: of the command line.
        rate: of the voice.
        target: recordings of the voice's speaker.
    """

    def __init__(self, options: argparse.Namespace, rate: int, target: Sequence[Path]) -> None:
        self.options, self.rate, self._target = options, rate, target
        self._known: dict[str, list[Clip]] = {}  # several rows have the same lines
        self._descriptions: list[tuple[str, np.ndarray, Voice]] = []

    def plain(self) -> list[Clip]:
        """Return beginnings of strangers' recordings."""
        return self._untouched({f"{speaker}_{path.stem}": path for speaker, path in self._chosen()})

    def own(self) -> list[Clip]:
        """Return beginnings of the target's recordings."""
        return self._untouched({path.stem: path for path in self._target[: self.options.source_count]})

    def outside(self) -> list[Clip]:
        """Return beginnings of recordings from outside of the training's world."""
        paths = spread(list_audio(self.options.outside), self.options.source_count)
        return self._untouched({path.stem: path for path in paths})

    def disturbed(self, change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> list[Clip]:
        """Return strangers with something around them."""
        clips = []
        for index, (speaker, path) in enumerate(self._chosen()):
            clean = self._excerpt(path, FEATURE_RATE)
            given = change(clean, np.random.default_rng(index))
            clips.append(Clip(f"{speaker}_{path.stem}", self._to_rate(clean), self._to_rate(given)))
        return clips

    def whispering(self) -> list[Clip]:
        """Return strangers who whisper; the words are those of the same recordings spoken."""
        return [
            Clip(name, self._to_rate(spoken), self._to_rate(whispered(description).audio))
            for name, spoken, description in self._described()
        ]

    def singing(self, lowest_hz: float) -> list[Clip]:
        """Return strangers who sing."""
        return self._once(f"singing {lowest_hz}", lambda: self._singing(lowest_hz))

    def laughing(self) -> list[Clip]:
        """Return bursts like laughter in strangers' voices."""
        return self._once("laughing", self._laughing)

    def notes(self) -> list[Clip]:
        """Return sung notes, several to a clip; their pitch is what harvest finds."""
        return self._once("notes", self._notes)

    def _singing(self, lowest_hz: float) -> list[Clip]:
        clips = []
        for index, (name, spoken, description) in enumerate(self._described()):
            line = sung(description, lowest_hz, np.random.default_rng(index))
            clips.append(self._line(name, line, self._to_rate(spoken)))
        return clips

    def _laughing(self) -> list[Clip]:
        return [
            self._line(name, laughed(description, np.random.default_rng(index)))
            for index, (name, _, description) in enumerate(self._described())
        ]

    def _notes(self) -> list[Clip]:
        paths = spread(list_audio(self.options.notes), NOTES_OF_CLIP * self.options.source_count)
        pause = np.zeros(round(NOTE_PAUSE_SECONDS * FEATURE_RATE), np.float32)
        clips = []
        for start in range(0, len(paths), NOTES_OF_CLIP):
            group = paths[start : start + NOTES_OF_CLIP]
            audio = np.concatenate([part for path in group for part in (load_audio(path, FEATURE_RATE), pause)])
            audio = audio[: len(audio) // FEATURE_HOP * FEATURE_HOP]
            clips.append(self._line(group[0].stem, Sound(audio, WorldPitch(method="harvest").track(audio))))
        return clips

    def _line(self, name: str, line: Sound, clean: np.ndarray | None = None) -> Clip:
        given = self._to_rate(line.audio)
        return Clip(name, given if clean is None else clean, given, line, near(cents_from(given, self.rate, line, 0)))

    def _once(self, name: str, make: Callable[[], list[Clip]]) -> list[Clip]:
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    def _chosen(self) -> list[tuple[str, Path]]:
        return pick_sources(self.options.sources, self.options.source_count)

    def _untouched(self, paths: dict[str, Path]) -> list[Clip]:
        audio = {name: self._excerpt(path, self.rate) for name, path in paths.items()}
        return [Clip(name, sound, sound) for name, sound in audio.items()]

    def _excerpt(self, path: Path, rate: int) -> np.ndarray:
        return load_audio(path, rate)[: round(self.options.seconds * rate)]

    def _described(self) -> list[tuple[str, np.ndarray, Voice]]:
        if not self._descriptions:
            self._descriptions = [
                (
                    f"{speaker}_{path.stem}",
                    self._excerpt(path, FEATURE_RATE),
                    describe_voice(path, self.options.seconds),
                )
                for speaker, path in self._chosen()
            ]
        return self._descriptions

    def _to_rate(self, audio: np.ndarray) -> np.ndarray:
        resampled: np.ndarray = soxr.resample(audio, FEATURE_RATE, self.rate, quality="HQ").astype(np.float32)
        return resampled
