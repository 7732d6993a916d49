"""From the teacher's features to the student's targets and training examples."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import soxr
import torch
import torch.nn.functional as functional
from torch import Tensor

from recipes.content_encoder.sound_augmentation import Augmentation, augment
from recipes.content_encoder.teacher import Clip, Features
from utils.audio.frames import FEATURE_RATE
from utils.errors import DataError
from utils.features.content.network import FRAME_SAMPLES

IGNORED = -100  # unit of a frame behind the end of a clip
SPEAKER_SECONDS = 20.0  # of a speaker with so much speech, half of the mean is taken for the voice, half for the words
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TargetSpace:
    """Where targets live: standardised teacher features less their speaker's mean, on principal axes, of length 1.

    Attributes:
        mean: [288] of the training clips.
        deviation: [288] of the training clips.
        axes: [288, D].
        units: [K, D] centroids of length 1.
    """

    mean: Tensor
    deviation: Tensor
    axes: Tensor
    units: Tensor

    def project(self, features: Tensor, offset: Tensor | float = 0.0) -> Tensor:
        """Return targets [F, D] of length 1 from features [F, 288] and the speaker's offset (see speaker_offsets)."""
        return functional.normalize((features.float() - self.mean - offset) / self.deviation @ self.axes, dim=-1)

    def as_layer(self) -> dict[str, Tensor]:
        """Return weight [D, 288] and bias [D] of the linear layer that project begins with, without the speaker."""
        weight = (self.axes / self.deviation[:, None]).T.contiguous()
        return {"weight": weight, "bias": -weight @ self.mean}

    def nearest_unit(self, targets: Tensor) -> Tensor:
        """Return the unit of each target, [F] int64."""
        return (targets @ self.units.T).argmax(dim=1)

    def tensors(self) -> dict[str, Tensor]:
        """Return the parts by name, for a checkpoint."""
        return {"mean": self.mean, "deviation": self.deviation, "axes": self.axes, "units": self.units}


def fit_space(features: Sequence[Tensor], *, dim: int, num_units: int, seed: int) -> TargetSpace:
    """Find the target space of training features, each [F, 288], from every fourth frame."""
    frames = torch.cat([feature[::4].float() for feature in features])
    if len(frames) < max(dim, num_units):
        raise DataError(f"only {len(frames)} frames to learn {num_units} units from; add recordings")
    mean, deviation = frames.mean(dim=0), frames.std(dim=0)
    standard = (frames - mean) / deviation
    axes = torch.linalg.svd(standard.T @ standard / len(standard))[0][:, :dim].contiguous()
    points = functional.normalize(standard @ axes, dim=-1)
    units = spherical_kmeans(points, num_units, generator=torch.Generator().manual_seed(seed))
    return TargetSpace(mean, deviation, axes, units)


def speaker_offsets(clips: Sequence[Clip], mean: Tensor) -> dict[tuple[str, str], Tensor]:
    """Estimate how far each speaker's mean feature lies from that of all, [288]; little speech tells little.

    Args:
        clips: clips; a speaker is named by corpus and name.
        mean: of all training clips, [288].
    """
    frames: dict[tuple[str, str], list[Tensor]] = {}
    for clip in clips:
        frames.setdefault((clip.recording.corpus, clip.recording.speaker), []).append(clip.feature.float())
    offsets = {}
    for speaker, features in frames.items():
        everything = torch.cat(features)
        seconds = len(everything) * FRAME_SAMPLES / FEATURE_RATE
        offsets[speaker] = (everything.mean(dim=0) - mean) * seconds / (seconds + SPEAKER_SECONDS)
    return offsets


def spherical_kmeans(
    points: Tensor, count: int, *, generator: torch.Generator, num_rounds: int = 25, max_points: int = 120_000
) -> Tensor:
    """Cluster points [N, D] of length 1 by cosine; returns centroids [count, D] of length 1."""
    points = points[torch.randperm(len(points), generator=generator)[:max_points]]
    centroids = points[torch.randperm(len(points), generator=generator)[:count]].clone()
    for _ in range(num_rounds):
        owner = (points @ centroids.T).argmax(dim=1)
        sums = torch.zeros_like(centroids).index_add_(0, owner, points)
        empty = torch.bincount(owner, minlength=count) == 0
        sums[empty] = points[torch.randint(len(points), (int(empty.sum()),), generator=generator)]
        centroids = functional.normalize(sums, dim=1)
    return centroids


class Lesson(NamedTuple):
    """A clip with its targets.

    Attributes:
        audio: [F * 320] int16 at 16 kHz.
        target: [F, D], length 1.
        unit: [F] int64.
    """

    audio: Tensor
    target: Tensor
    unit: Tensor


class Batch(NamedTuple):
    """Training examples.

    Attributes:
        audio: [B, F * 320] at 16 kHz.
        target: [B, F, D], length 1.
        unit: [B, F] int64; -100 behind the end of a clip.
    """

    audio: Tensor
    target: Tensor
    unit: Tensor


class Pair(NamedTuple):
    """A part of a clip as it is, and changed.

    Attributes:
        plain: [1, F * 320] at 16 kHz.
        changed: [1, G * 320] at 16 kHz, at another speed and in another room.
        place: [G] frames of the plain part, fractional, at which the frames of the changed one lie.
    """

    plain: Tensor
    changed: Tensor
    place: Tensor


class Material:
    """Draws batches; the same seed and step always give the same batch, so a resumed run continues exactly.

    Args:
        features: clips and shares of the corpora.
        space: where the targets live.
        seed: seed of the draws.
        augmentation: changes of the examples.
        batch_size: examples a batch.
        num_frames: frames of an example.
    """

    def __init__(
        self,
        features: Features,
        space: TargetSpace,
        *,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        batch_size: int = 16,
        num_frames: int = 150,
    ) -> None:
        self.space, self._seed = space, seed
        self._offsets = speaker_offsets(features.clips, space.mean)
        self._augmentation = augmentation or Augmentation()
        self._batch_size, self._num_frames = batch_size, num_frames
        self.held_out = [self._lesson(clip) for clip in features.clips if clip.recording.is_held_out]
        self._lessons = {
            name: [
                self._lesson(clip)
                for clip in features.clips
                if clip.recording.corpus == name and not clip.recording.is_held_out
            ]
            for name in features.shares
        }
        empty = [name for name, lessons in self._lessons.items() if not lessons]
        if empty or not self.held_out:
            raise DataError(
                f"no usable clips for {', '.join(empty) or 'validation'}; see the reasons that teacher.py listed"
            )
        lengths = {name: np.array([len(x.audio) for x in lessons], float) for name, lessons in self._lessons.items()}
        self._chances = {name: length / length.sum() for name, length in lengths.items()}
        self._shares = np.array(list(features.shares.values())) / sum(features.shares.values())

    def _lesson(self, clip: Clip) -> Lesson:
        target = self.space.project(clip.feature, self._offsets[clip.recording.corpus, clip.recording.speaker])
        return Lesson(clip.audio, target, self.space.nearest_unit(target))

    def batch(self, step: int) -> Batch:
        """Draw the batch of a step."""
        rng = np.random.default_rng([self._seed, step])
        examples = [self._example(rng) for _ in range(self._batch_size)]
        return Batch(*(torch.stack(parts) for parts in zip(*examples, strict=True)))

    def sample(self, count: int) -> list[Lesson]:
        """Return whole clips of the training, at most count, spread evenly over all of them."""
        everything = [lesson for lessons in self._lessons.values() for lesson in lessons]
        step = max(1, len(everything) // count)
        return everything[step // 2 :: step][:count]

    def plain_and_changed(self, step: int) -> tuple[Tensor, Tensor]:
        """Draw the audio of a batch as it is (but for its speed) and changed, [B, F * 320] each."""
        rng = np.random.default_rng([self._seed, step])
        plain = [cut(*self._choose(rng), self._num_frames)[0] for _ in range(self._batch_size)]
        changed = [augment(audio, rng, self._augmentation) for audio in plain]
        return torch.from_numpy(np.stack(plain)), torch.from_numpy(np.stack(changed))

    def pair(self, index: int) -> Pair:
        """Draw a part of a clip and a changed copy of it; the same seed and index give the same pair."""
        rng = np.random.default_rng([self._seed, index])
        lesson, start, speed = self._choose(rng)
        audio, _, unit = cut(lesson, start, speed, self._num_frames)
        changed = torch.from_numpy(augment(audio, rng, self._augmentation))
        count = int((unit != IGNORED).sum())
        plain = lesson.audio[start * FRAME_SAMPLES :][: math.ceil(count * speed) * FRAME_SAMPLES]
        place = (torch.arange(count) + 0.5) * speed - 0.5
        return Pair(as_float(plain)[None], changed[None, : count * FRAME_SAMPLES], place)

    def _example(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        lesson, start, speed = self._choose(rng)
        audio, target, unit = cut(lesson, start, speed, self._num_frames)
        return torch.from_numpy(augment(audio, rng, self._augmentation)), target, unit

    def _choose(self, rng: np.random.Generator) -> tuple[Lesson, int, float]:
        """Return a clip, the first frame and the speed."""
        name = list(self._lessons)[int(rng.choice(len(self._shares), p=self._shares))]
        lesson = self._lessons[name][int(rng.choice(len(self._chances[name]), p=self._chances[name]))]
        speed = math.exp(rng.uniform(-self._augmentation.speed, self._augmentation.speed))
        room = len(lesson.target) - (int(self._num_frames * speed) + 2)
        return lesson, int(rng.integers(0, max(1, room))), speed


def cut(lesson: Lesson, start: int, speed: float, num_frames: int) -> tuple[np.ndarray, Tensor, Tensor]:
    """Play a part of a clip at another speed.

    Args:
        lesson: the clip.
        start: first frame.
        speed: frames of the clip for each frame of the example.
        num_frames: frames of the example; silence follows a shorter clip.
    Returns:
        Audio [num_frames * 320] float32, targets [num_frames, D], units [num_frames], -100 behind the end.
    """
    length = num_frames * FRAME_SAMPLES
    first = start * FRAME_SAMPLES
    played = as_float(lesson.audio[first : first + math.ceil(length * speed)]).numpy()
    played = soxr.resample(played, FEATURE_RATE * speed, FEATURE_RATE)[:length]
    audio = np.pad(played, (0, length - len(played)))
    frames = torch.arange(num_frames)
    place = (frames + 0.5) * speed + start - 0.5  # frame k is centred on k + 0.5, in the example as in the clip
    target = functional.normalize(interpolate(lesson.target, place), dim=-1)
    unit = lesson.unit[place.round().long().clamp(0, len(lesson.unit) - 1)].clone()
    unit[place > len(lesson.target) - 0.5] = IGNORED
    return audio, target, unit


def as_float(samples: Tensor) -> Tensor:
    """Return int16 samples as float32, full scale 1."""
    return samples.float() / 32767


def interpolate(frames: Tensor, position: Tensor) -> Tensor:
    """Return values [N, C] between frames [F, C] at fractional positions [N]; beyond the end is the last frame."""
    position = position.clamp(0, max(0.0, len(frames) - 1.001))
    before = position.long()
    weight = (position - before)[:, None]
    return frames[before] * (1 - weight) + frames[(before + 1).clamp(max=len(frames) - 1)] * weight
