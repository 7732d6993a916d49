"""The student's training examples: parts of clips at random speeds with changed sound, and their targets."""

import math
from typing import NamedTuple

import numpy as np
import soxr
import torch
import torch.nn.functional as functional
from torch import Tensor

from recipes.content_encoder.target_space import TargetSpace, speaker_offsets
from recipes.content_encoder.teacher_features import Clip, Features
from recipes.examples import PlainAndChanged, TrainingExamples
from recipes.sound_augmentation import SoundAugmentation, augment
from utils.audio.frames import FEATURE_RATE
from utils.errors import DataError
from utils.features.content.network import FRAME_SAMPLES

IGNORED = -100  # unit of a frame behind the end of a clip


class LabelledClip(NamedTuple):
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


class ClipPair(NamedTuple):
    """A part of a clip as it is, and changed.

    Attributes:
        plain: [1, F * 320] at 16 kHz.
        changed: [1, G * 320] at 16 kHz, at another speed and in another room.
        position: [G] frames of the plain part, fractional, at which the frames of the changed one lie.
    """

    plain: Tensor
    changed: Tensor
    position: Tensor


class ContentExamples(TrainingExamples):
    """Samples batches; the same seed and step always give the same batch, so a resumed run continues exactly.

    Args:
        features: clips and shares of the corpora.
        space: where the targets live.
        seed: of all random choices.
        augmentation: changes of the examples.
        batch_size: examples a batch.
        num_frames: frames of an example.
    Raises:
        DataError: if a corpus has no clips for the training, or none is kept for validation.
    """

    def __init__(
        self,
        features: Features,
        space: TargetSpace,
        *,
        seed: int = 0,
        augmentation: SoundAugmentation | None = None,
        batch_size: int = 16,
        num_frames: int = 150,
    ) -> None:
        super().__init__(features.shares, batch_size=batch_size, augmentation=augmentation)
        self.space, self._seed, self._num_frames = space, seed, num_frames
        self._offsets = speaker_offsets(features.clips, space.mean)
        self.held_out = [self._label(clip) for clip in features.clips if clip.recording.is_held_out]
        self._labelled = {
            name: [
                self._label(clip)
                for clip in features.clips
                if clip.recording.corpus == name and not clip.recording.is_held_out
            ]
            for name in features.shares
        }
        empty = [name for name, clips in self._labelled.items() if not clips]
        if empty or not self.held_out:
            raise DataError(
                f"no usable clips for {', '.join(empty) or 'validation'}; the reasons were listed when the teacher's "
                "features were computed"
            )
        lengths = {name: np.array([len(clip.audio) for clip in clips], float) for name, clips in self._labelled.items()}
        self._clip_chances = {name: length / length.sum() for name, length in lengths.items()}

    def _label(self, clip: Clip) -> LabelledClip:
        target = self.space.project(clip.feature, self._offsets[clip.recording.corpus, clip.recording.speaker])
        return LabelledClip(clip.audio, target, self.space.nearest_unit(target))

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        rng = np.random.default_rng([self._seed, step])
        examples = [self._example(rng) for _ in range(self.batch_size)]
        return Batch(*(torch.stack(parts) for parts in zip(*examples, strict=True)))

    def sample(self, count: int) -> list[LabelledClip]:
        """Return whole clips of the training, at most count, spread evenly over all of them."""
        everything = [clip for clips in self._labelled.values() for clip in clips]
        step = max(1, len(everything) // count)
        return everything[step // 2 :: step][:count]

    def plain_and_changed(self, step: int) -> PlainAndChanged:
        """Return the audio of a batch as it is (but for its speed) and changed, [B, F * 320] each."""
        rng = np.random.default_rng([self._seed, step])
        return self.with_changes([cut(*self._choose(rng), self._num_frames).audio for _ in range(self.batch_size)], rng)

    def pair(self, index: int) -> ClipPair:
        """Return a part of a clip and a changed copy of it; the same seed and index give the same pair."""
        rng = np.random.default_rng([self._seed, index])
        clip, start, speed = self._choose(rng)
        example = cut(clip, start, speed, self._num_frames)
        changed = torch.from_numpy(augment(example.audio, rng, self.augmentation))
        count = int((example.unit != IGNORED).sum())
        plain = clip.audio[start * FRAME_SAMPLES :][: math.ceil(count * speed) * FRAME_SAMPLES]
        position = (torch.arange(count) + 0.5) * speed - 0.5
        return ClipPair(as_float(plain)[None], changed[None, : count * FRAME_SAMPLES], position)

    def _example(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        clip, start, speed = self._choose(rng)
        example = cut(clip, start, speed, self._num_frames)
        return torch.from_numpy(augment(example.audio, rng, self.augmentation)), example.target, example.unit

    def _choose(self, rng: np.random.Generator) -> tuple[LabelledClip, int, float]:
        """Return a clip, the first frame of the example and its speed."""
        name = self.choose_corpus(rng)
        clip = self._labelled[name][int(rng.choice(len(self._labelled[name]), p=self._clip_chances[name]))]
        speed = math.exp(rng.uniform(-self.augmentation.speed, self.augmentation.speed))
        room = len(clip.target) - (int(self._num_frames * speed) + 2)
        return clip, int(rng.integers(0, max(1, room))), speed


class Example(NamedTuple):
    """A part of a clip at another speed: audio [F * 320] float32, targets [F, D], units [F], -100 behind the end."""

    audio: np.ndarray
    target: Tensor
    unit: Tensor


def cut(clip: LabelledClip, start: int, speed: float, num_frames: int) -> Example:
    """Play a part of a clip at another speed.

    Args:
        clip: the clip.
        start: first frame.
        speed: frames of the clip for each frame of the example.
        num_frames: frames of the example; silence follows a shorter clip.
    """
    length = num_frames * FRAME_SAMPLES
    first = start * FRAME_SAMPLES
    played = as_float(clip.audio[first : first + math.ceil(length * speed)]).numpy()
    played = soxr.resample(played, FEATURE_RATE * speed, FEATURE_RATE)[:length]
    audio = np.pad(played, (0, length - len(played)))
    frames = torch.arange(num_frames)
    position = (frames + 0.5) * speed + start - 0.5  # frame k is centred on k + 0.5, in the example as in the clip
    target = functional.normalize(interpolate(clip.target, position), dim=-1)
    unit = clip.unit[position.round().long().clamp(0, len(clip.unit) - 1)].clone()
    unit[position > len(clip.target) - 0.5] = IGNORED
    return Example(audio, target, unit)


def as_float(samples: Tensor) -> Tensor:
    """Return int16 samples as float32, full scale 1."""
    return samples.float() / 32767


def interpolate(frames: Tensor, position: Tensor) -> Tensor:
    """Return values [N, C] between frames [F, C] at fractional positions [N]; beyond the end is the last frame."""
    position = position.clamp(0, max(0.0, len(frames) - 1.001))
    before = position.long()
    weight = (position - before)[:, None]
    return frames[before] * (1 - weight) + frames[(before + 1).clamp(max=len(frames) - 1)] * weight
