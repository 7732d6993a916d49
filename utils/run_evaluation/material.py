"""The sounds by which all states of a run are judged: held-out sentences, strangers, and recordings of the target."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.io import load_audio, save_audio
from utils.audio.listing import list_audio, spread
from utils.audio.psola import shift_voice
from utils.config.train import EvaluationSettings
from utils.corpus.manifest import Clip
from utils.corpus.store import CorpusStore
from utils.errors import DataError
from utils.evaluation.optional_packages import EVALUATION_RATE
from utils.evaluation.remembering import Memory
from utils.files import atomic_write_json, read_json, sha256_of_json
from utils.inference.measures import PitchMeter, automatic_shift, limited_shift
from utils.training.checks import chosen_speaker

HELD_OUT, STRANGERS, TARGET = "held_out", "strangers", "target"
INDEX, HEARD = "material.json", "heard.json"
VERSION = 1
TARGET_CLIPS, TARGET_SECONDS = 8, 8.0
LEAST_SECONDS = 1.0
# ratios of pitch and of formants that make another speaker of a recording: a larger head, a smaller one
OTHER_SPEAKERS = ((0.75, 0.85), (1.35, 1.18), (0.85, 0.90), (1.2, 1.25))


@dataclass(frozen=True)
class Material:
    """Sounds on disk.

    Attributes:
        folder: has sub-folders held_out, strangers and target, WAV at sample_rate.
        sample_rate: of the dataset.
        speaker_id: of the target.
        identity: equal for equal sounds.
        shifts: semitones by which each stranger is moved to the target's median pitch, by name of the file.
    """

    folder: Path
    sample_rate: int
    speaker_id: int
    identity: str
    shifts: dict[str, float]

    def sounds(self, kind: str) -> list[Path]:
        """Return the files of held_out, strangers or target in the order of their names."""
        return sorted((self.folder / kind).glob("*.wav"))

    def heard(self) -> dict[str, Any]:
        """Return what evaluators have found of the sounds themselves, which no state changes."""
        try:
            known: dict[str, Any] = read_json(self.folder / HEARD)
            return known if isinstance(known, dict) else {}
        except (OSError, ValueError):
            return {}

    def remember(self, memory: Memory) -> None:
        """Keep what evaluators have found of the sounds themselves."""
        paths = [path for kind in (HELD_OUT, STRANGERS, TARGET) for path in self.sounds(kind)]
        known = memory.of_sounds(load_audio(path, EVALUATION_RATE) for path in paths)
        if known.keys() != self.heard().keys():
            atomic_write_json(self.folder / HEARD, known)


def open_material(folder: Path, store: CorpusStore, settings: EvaluationSettings) -> Material:
    """Return the sounds of a run, which are made where they are not there or other ones are asked for.

    Args:
        folder: where they lie.
        store: the dataset.
        settings: which.
    Raises:
        ConfigError: if there is no such speaker.
        DataError: if nothing of the target is held out, or there are no recordings in evaluation.sources.
    """
    speaker = chosen_speaker(store, settings.speaker)
    files = [] if settings.sources is None else spread(list_audio(settings.sources), settings.most_sources)
    identity = _identity(store, settings, files)
    try:
        known = read_json(folder / INDEX)
    except (OSError, ValueError):
        known = {}
    speaker_id = store.speakers.index(speaker)
    if known.get("identity") != identity:
        shutil.rmtree(folder, ignore_errors=True)
        known = {"identity": identity, "shifts": _make(folder, store, speaker, settings, files)}
        atomic_write_json(folder / INDEX, known)  # the last one: half made material is made again
    return Material(folder, store.audio.sample_rate, speaker_id, identity, known["shifts"])


def _identity(store: CorpusStore, settings: EvaluationSettings, files: Sequence[Path]) -> str:
    described: dict[str, Any] = {
        "version": VERSION,
        "dataset": store.fingerprint,
        "files": [[path.name, path.stat().st_size] for path in files],
        **settings.model_dump(include={"speaker", "most_sources", "most_held_out", "seconds", "language"}),
        "evaluators": list(settings.evaluators),
    }
    return sha256_of_json(described)[:16]


def _make(
    folder: Path, store: CorpusStore, speaker: str, settings: EvaluationSettings, files: Sequence[Path]
) -> dict[str, float]:
    rate, frames = store.audio.sample_rate, round(100 * settings.seconds)
    held_out = _long_enough(store, speaker, "val")
    if not held_out and not files:
        raise DataError(f"nothing of {speaker} is held out, and evaluation.sources names no other recordings")
    for number, clip in enumerate(_spread(held_out, settings.most_held_out)):
        save_audio(folder / HELD_OUT / f"held_out_{number}.wav", store.waveform(clip)[: rate * frames // 100], rate)
    known = _long_enough(store, speaker, "train")
    for number, clip in enumerate(_spread(known, TARGET_CLIPS)):
        audio = store.waveform(clip)[: round(TARGET_SECONDS * rate)]
        save_audio(folder / TARGET / f"target_{number}.wav", audio, rate)
    for number, path in enumerate(files):
        audio = load_audio(path, rate, duration_seconds=float(settings.seconds))
        save_audio(folder / STRANGERS / f"stranger_{number}.wav", audio, rate)
    if not files:
        clips = _spread(held_out, settings.most_sources, offset=True)
        for number in range(min(settings.most_sources, len(held_out) * len(OTHER_SPEAKERS))):
            ratios = OTHER_SPEAKERS[(number + number // len(clips)) % len(OTHER_SPEAKERS)]
            audio = _other_speaker(store, clips[number % len(clips)], ratios)
            save_audio(folder / STRANGERS / f"stranger_{number}.wav", audio[: rate * frames // 100], rate)
    return _shifts(sorted((folder / STRANGERS).glob("*.wav")), rate, _median_hz(store, known or held_out))


def _long_enough(store: CorpusStore, speaker: str, split: Any) -> list[Clip]:
    clips = [clip for clip in store.split(split) if clip.speaker == speaker]
    return [clip for clip in clips if clip.duration_seconds >= LEAST_SECONDS] or clips


def _spread(clips: Sequence[Clip], limit: int, *, offset: bool = False) -> list[Clip]:
    """Return some clips, evenly spaced; with `offset` others than without, as far as there are others."""
    places = np.linspace(0, len(clips) - 1, min(limit, len(clips))).round().astype(int)
    return [clips[(place + offset) % len(clips)] for place in places]


def _other_speaker(store: CorpusStore, clip: Clip, ratios: tuple[float, float]) -> np.ndarray:
    audio, f0_hz = store.waveform(clip), store.feature("f0_hz", clip)
    rate = store.audio.sample_rate
    return shift_voice(audio, f0_hz, sample_rate=rate, pitch_ratio=ratios[0], formant_ratio=ratios[1])


def _median_hz(store: CorpusStore, clips: Sequence[Clip]) -> float:
    f0_hz = np.concatenate([store.feature("f0_hz", clip) for clip in clips])
    return float(np.median(f0_hz[f0_hz > 0])) if (f0_hz > 0).any() else 0.0


def _shifts(paths: Sequence[Path], rate: int, median_hz: float) -> dict[str, float]:
    meter = PitchMeter()
    return {
        path.stem: float(limited_shift(automatic_shift(meter.track(load_audio(path, rate), rate), median_hz)))
        for path in paths
    }
