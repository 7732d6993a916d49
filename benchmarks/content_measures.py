"""What is measured of a content encoder: does it keep what was said and forget who said it, and how fast is it?

Content ratio: mean time-warped cosine distance of different sentences by one speaker over that of one sentence by two
speakers; 1 tells nothing apart. Speaker leak: how often the nearest speaker by mean feature is the right one; best is
chance. Both remove the encoder's mean over all clips first.
"""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass

import librosa
import numpy as np

from benchmarks.content_peers import Encode
from utils.audio.frames import FEATURE_RATE

Clips = dict[str, dict[str, np.ndarray]]  # speaker -> sentence -> features [F, D]


@dataclass(frozen=True)
class Figures:
    """What was measured of one encoder.

    Attributes:
        content_ratio: higher is better; None if no sentence is spoken by two speakers.
        speaker_leak: lower is better; None if no two speakers have two clips.
        chance: the leak of features that know nothing of the speaker.
        real_time_factor: processor seconds for a second of audio on one thread.
    """

    content_ratio: float | None
    speaker_leak: float | None
    chance: float
    real_time_factor: float


def remove_mean(clips: Clips) -> Clips:
    """Subtract the mean over all frames of all clips."""
    everything = np.concatenate([feature for sentences in clips.values() for feature in sentences.values()])
    mean = everything.mean(axis=0)
    return {
        speaker: {name: feature - mean for name, feature in sentences.items()} for speaker, sentences in clips.items()
    }


def warped_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean cosine distance along the best time alignment of features [F, D] and [G, D]."""
    cost = 1.0 - unit_rows(first) @ unit_rows(second).T
    total, path = librosa.sequence.dtw(C=cost.astype(np.float64))
    return float(total[-1, -1] / len(path))


def content_ratio(clips: Clips) -> float | None:
    """Return (different sentence, same speaker) over (same sentence, other speaker); None without parallel sentences.

    Every sentence of two speakers is compared, and every sentence of a speaker with the next one of that speaker.

    Args:
        clips: features with the mean removed.
    """
    same_sentence = [
        warped_distance(clips[one][name], clips[other][name])
        for one, other in itertools.combinations(sorted(clips), 2)
        for name in sorted(clips[one].keys() & clips[other].keys())
    ]
    same_speaker = [
        warped_distance(sentences[name], sentences[following])
        for sentences in clips.values()
        for name, following in itertools.pairwise(sorted(sentences))
    ]
    return float(np.mean(same_speaker) / np.mean(same_sentence)) if same_sentence and same_speaker else None


def speaker_leak(clips: Clips) -> float | None:
    """Return how often a clip's mean feature is nearest (cosine) to its own speaker's other clips.

    Args:
        clips: features with the mean removed; speakers with a single clip are left out.
    """
    means = {
        speaker: np.stack([feature.mean(axis=0) for feature in sentences.values()])
        for speaker, sentences in clips.items()
        if len(sentences) > 1
    }
    if len(means) < 2:
        return None
    centres = {speaker: rows.mean(axis=0) for speaker, rows in means.items()}
    hits = []
    for speaker, rows in means.items():
        for row in rows:
            without = (centres[speaker] * len(rows) - row) / (len(rows) - 1)
            candidates = {**centres, speaker: without}
            nearest = max(candidates, key=lambda name: float(unit_rows(candidates[name][None])[0] @ row))
            hits.append(nearest == speaker)
    return float(np.mean(hits))


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Return [F, D] with every row scaled to length 1; a row of zeros stays."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)


def measure(encode: Encode, audio: Mapping[str, Mapping[str, np.ndarray]]) -> Figures:
    """Encode 16 kHz clips, speaker -> sentence -> [T], and take all figures."""
    encode(next(iter(next(iter(audio.values())).values())))  # the first call loads and compiles
    # processor time of the one thread: the same as the clock when nothing else runs, and robust when something does
    started = time.process_time()
    clips = {
        speaker: {name: encode(samples) for name, samples in sentences.items()} for speaker, sentences in audio.items()
    }
    elapsed = time.process_time() - started
    seconds = sum(len(samples) for sentences in audio.values() for samples in sentences.values()) / FEATURE_RATE
    clips = remove_mean(clips)
    speakers = [speaker for speaker, sentences in clips.items() if len(sentences) > 1]
    return Figures(content_ratio(clips), speaker_leak(clips), 1 / max(1, len(speakers)), elapsed / seconds)
