"""Where the student's targets live: the teacher's features without the speaker's mean, on their principal axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as functional
from torch import Tensor

from recipes.content_encoder.teacher_features import Clip
from utils.audio.frames import FEATURE_RATE
from utils.errors import DataError
from utils.features.clustering import spherical_kmeans
from utils.features.content.network import FRAME_SAMPLES

SPEAKER_SECONDS = 20.0  # of a speaker with so much speech, half of the mean is taken for the voice, half for the words
MAX_POINTS, NUM_ROUNDS = 120_000, 25  # of the k-means that finds the units


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
    generator = torch.Generator().manual_seed(seed)
    points = points[torch.randperm(len(points), generator=generator)[:MAX_POINTS]]
    normalize = partial(functional.normalize, dim=1)
    units = spherical_kmeans(points, num_units, generator=generator, num_rounds=NUM_ROUNDS, normalize=normalize)
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
