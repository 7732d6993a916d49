"""Train the content encoder to imitate the teacher whatever the voice, room and level.

    python -m recipes.content_encoder.distil --features features.pt --checkpoint encoder.ckpt
    python -m recipes.content_encoder.distil --features features.pt --checkpoint encoder.ckpt --export

Started again, the training continues from the checkpoint.
"""

import argparse
import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from recipes.content_encoder.material import IGNORED, Batch, Material, TargetSpace, as_float, fit_space
from recipes.content_encoder.moonshine import read_moonshine, start_from
from recipes.content_encoder.sharpen import sharpen
from recipes.content_encoder.stem import fit_stem
from recipes.content_encoder.teacher import Features, load_features, moonshine_weights
from utils.config import MAX_SEED, check_range
from utils.console import emit, table
from utils.errors import ConfigError, FormatError, WorkbenchError
from utils.features.content.builtin import WEIGHTS_FOLDER, BuiltinContent
from utils.features.content.grid import to_grid
from utils.features.content.network import ContentNetwork
from utils.files import atomic_write, sha256_of_file
from utils.training.checkpoints import read_plain, save_weights
from utils.training.devices import has_native_bf16

WEIGHTS = WEIGHTS_FOLDER / "content_builtin.safetensors"
LOSS_WEIGHTS = {"cosine": 1.0, "error": 0.1, "mean": 2.0, "unit": 0.1}
KEPT_PRECISE = frozenset({"filters.weight", "head.weight"})
LEARNING_RATE = 2e-4
OLDER_RATE = 5e-4  # of checkpoints that do not say theirs
WARMUP_STEPS = 100
VALIDATION_STEPS = 250
REPORT_STEPS = 50
STEM_STEPS = 250
NUM_FITTED = 60  # clips that a last layer is fitted to, some 10 minutes
FIT_RIDGE = 1e-5  # of the mean square of what the layer reads
SHORT_SHARE = 0.25  # part of the updates in which no layer sees a later frame
# mean and deviation of what the teacher's group norm sees, over seven LibriSpeech readers
TEACHER_LEVEL = (0.0, 0.0945)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sizes:
    """The student: see ContentNetwork, and how many units the classifier beside it tells apart."""

    channels: int = 288
    num_layers: int = 6
    num_heads: int = 8
    rotary_dim: int = 32
    past: int = 64
    future: int = 64
    dim: int = 256
    num_units: int = 512

    def build(self) -> ContentNetwork:
        """Make the network."""
        return ContentNetwork(**{name: value for name, value in asdict(self).items() if name != "num_units"})


class Validation(NamedTuple):
    """Figures on the held-out speakers, each the mean over clips.

    Attributes:
        cosine: between output and target frames.
        unit_accuracy: part of the frames whose unit the classifier names.
        mean_distance: length of the difference between the clip's mean output and mean target.
    """

    cosine: float
    unit_accuracy: float
    mean_distance: float


def losses(output: Tensor, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Return the unweighted losses.

    Args:
        output: [B, F, D] of the network, any length.
        logits: [B, F, K] over the units.
        batch: targets and units.
    """
    keep = (batch.unit != IGNORED).float()
    direction = functional.normalize(output, dim=-1)
    cosine = ((1 - (direction * batch.target).sum(dim=-1)) * keep).sum() / keep.sum()
    # components of unit variance on average, as the finished encoder gives them
    scaled = output / math.sqrt(output.shape[-1])
    error = ((scaled - batch.target).square().sum(dim=-1) * keep).sum() / keep.sum()
    # what is constant over an utterance is mostly the speaker: the student may add nothing of its own to it
    drift = ((direction - batch.target) * keep[..., None]).sum(dim=1) / keep.sum(dim=1, keepdim=True)
    unit = functional.cross_entropy(logits.flatten(0, 1), batch.unit.flatten(), ignore_index=IGNORED)
    return {"cosine": cosine, "error": error, "mean": drift.square().sum(dim=-1).mean(), "unit": unit}


def learning_rate(step: int, num_steps: int) -> float:
    """Return the share of the highest rate in a step: linear start, then half a cosine down to a fiftieth."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / num_steps))
    return min(1.0, (step + 1) / WARMUP_STEPS) * (0.98 * cosine + 0.02)


class Distillation:
    """The student, the classifier of units beside it and their optimizer.

    Args:
        sizes: of the student.
        num_steps: updates of the whole training; sets the learning rate's schedule.
        seed: seed of the first weights.
        rate: highest learning rate.
        start: SHA-256 of the encoder that it began with; empty for the teacher's weights or none.
        features: what names the teacher's features that it learns from.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        num_steps: int,
        seed: int = 0,
        rate: float = LEARNING_RATE,
        start: str = "",
        features: str = "",
    ) -> None:
        self.start, self.features = start, features
        self.sizes, self.num_steps, self.seed, self.step, self.rate = sizes, num_steps, seed, 0, rate
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = sizes.build()
            self.classifier = nn.Linear(sizes.channels, sizes.num_units)
        parameters = [*self.network.parameters(), *self.classifier.parameters()]
        self._optimizer = torch.optim.AdamW(parameters, rate, betas=(0.9, 0.98), weight_decay=0.02)

    def update(self, batch: Batch) -> dict[str, float]:
        """Make one step; returns the unweighted losses."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate * learning_rate(self.step, self.num_steps)
        is_short = np.random.default_rng([self.seed, self.step]).random() < SHORT_SHARE
        # a processor without instructions for bf16 is fifty times slower with it than in 32 bits
        with torch.autocast("cpu", torch.bfloat16, enabled=has_native_bf16()):
            hidden = self.network.hidden(batch.audio, future=0 if is_short else None)
            output, logits = self.network.head(hidden), self.classifier(hidden)
        parts = losses(output.float(), logits.float(), batch)
        self._optimizer.zero_grad()
        torch.stack([LOSS_WEIGHTS[name] * value for name, value in parts.items()]).sum().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self.step += 1
        return {name: value.item() for name, value in parts.items()}

    @torch.no_grad()
    def validate(self, material: Material, *, future: int | None = None) -> Validation:
        """Judge whole clips of the held-out speakers, unchanged; future as in ContentNetwork.forward."""
        results = []
        for lesson in material.held_out:
            hidden = self.network.hidden(as_float(lesson.audio)[None], future=future)[0]
            direction = functional.normalize(self.network.head(hidden), dim=-1)
            cosine = (direction * lesson.target).sum(dim=-1).mean()
            accuracy = (self.classifier(hidden).argmax(dim=-1) == lesson.unit).float().mean()
            drift = torch.linalg.vector_norm(direction.mean(dim=0) - lesson.target.mean(dim=0))
            results.append(torch.stack([cosine, accuracy, drift]))
        return Validation(*torch.stack(results).mean(dim=0).tolist())

    def save(self, path: Path, space: TargetSpace) -> None:
        """Write everything that a later start needs."""
        content = {
            "sizes": asdict(self.sizes),
            "step": self.step,
            "seed": self.seed,
            "num_steps": self.num_steps,
            "rate": self.rate,
            "start": self.start,
            "features": self.features,
            "network": self.network.state_dict(),
            "classifier": self.classifier.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "space": space.tensors(),
        }
        atomic_write(path, partial(torch.save, content))

    def restore(self, content: dict[str, Any]) -> None:
        """Take over weights, optimizer and step of a checkpoint.

        Raises:
            ConfigError: if it was begun with another number of steps, rate, seed or start, or from other features.
        """
        for option, mine, begun in (
            ("steps", self.num_steps, content["num_steps"]), ("rate", self.rate, content.get("rate", OLDER_RATE)),
            ("seed", self.seed, content["seed"]), ("start", self.start, content.get("start", self.start)),
        ):  # fmt: skip
            if begun != mine:
                shown = [value[:12] or "none" if isinstance(value, str) else str(value) for value in (mine, begun)]
                raise ConfigError(
                    f"{option} is {shown[0]}, but the checkpoint was begun with {shown[1]}; keep that, or train anew "
                    "under another name"
                )
        if content.get("features", self.features) != self.features:
            raise ConfigError("the checkpoint was begun with other teacher features; train anew under another name")
        self.network.load_state_dict(content["network"])
        self.classifier.load_state_dict(content["classifier"])
        self._optimizer.load_state_dict(content["optimizer"])
        self.step = content["step"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what Distillation.save wrote.

    Raises:
        ConfigError: if the file is absent.
        FormatError: if it is damaged or of another kind.
    """
    if not path.is_file():
        raise ConfigError(f"--checkpoint {path} is not a file; train first: leave --export out and give --features")
    content = read_plain(path, "--checkpoint")
    if not isinstance(content, dict) or not {"sizes", "network"} <= content.keys():
        raise FormatError(f"--checkpoint {path} was not written by distil.py")
    return content


@torch.no_grad()
def start_from_encoder(network: ContentNetwork, weights: Path, material: Material) -> float:
    """Begin with a finished encoder, its last layer fitted to the targets anew: it was sharpened (see sharpen.py).

    Args:
        network: of the same sizes; filled in place.
        weights: file of export.
        material: clips of the training.
    Returns:
        Mean cosine to the targets of the clips that the layer was fitted to.
    Raises:
        ConfigError: if it is no encoder of ours or has other sizes.
    """
    encoder = BuiltinContent(weights=str(weights)).network
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    if {name: value.shape for name, value in encoder.state_dict().items()} != wanted:
        raise ConfigError(f"--start {weights}: that encoder has other sizes than the one to be trained")
    network.load_state_dict(encoder.state_dict())
    lessons = material.sample(NUM_FITTED)
    hidden = torch.cat([network.hidden(as_float(lesson.audio)[None])[0] for lesson in lessons]).double()
    target = torch.cat([lesson.target for lesson in lessons]).double()
    given = torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)
    square = given.T @ given
    # the norm before the layer leaves one direction without any signal, which least squares alone would fill with noise
    ridge = FIT_RIDGE * square.trace() / len(square) * torch.eye(len(square), dtype=square.dtype)
    solution = torch.linalg.solve(square + ridge, given.T @ target) * math.sqrt(target.shape[1])  # see losses
    network.head.load_state_dict({"weight": solution[:-1].T.float(), "bias": solution[-1].float()})
    return float(functional.cosine_similarity(given @ solution, target).mean())


def train(
    features: Features,
    checkpoint: Path,
    *,
    num_steps: int,
    seed: int,
    sizes: Sizes,
    is_warm: bool,
    start: Path | None = None,
    rate: float = LEARNING_RATE,
    on_start: Callable[[], object] = lambda: None,
) -> Validation:
    """Train to the end, validating and saving on the way; continues where a checkpoint stopped.

    Args:
        features: what to learn from.
        checkpoint: file to continue from and to save to.
        num_steps: updates of the whole training.
        seed: of weights, units and examples.
        sizes: of the student.
        is_warm: whether a new student starts from the teacher's weights; the sizes must be the teacher's then.
        start: file of a finished encoder that a new student starts from instead.
        rate: highest learning rate.
        on_start: called when everything has been checked.
    Raises:
        ConfigError: if the checkpoint was begun with other values, or the start is absent or of other sizes.
        DataError: if there is too little to learn from.
        FormatError: if the checkpoint is damaged.
    """
    content = read_checkpoint(checkpoint) if checkpoint.is_file() else None
    if start is not None and not start.is_file():
        raise ConfigError(f"start={start} is not a file; give the weights of a finished encoder, or leave it out")
    if content:
        sizes, space = Sizes(**content["sizes"]), TargetSpace(**content["space"])
    else:
        heard = [clip.feature for clip in features.clips if not clip.recording.is_held_out]
        space = fit_space(heard, dim=sizes.dim, num_units=sizes.num_units, seed=seed)
    distillation = Distillation(
        sizes, num_steps=num_steps, seed=seed, rate=rate, start=sha256_of_file(start) if start else "",
        features=features.digest(),
    )  # fmt: skip
    if content:
        distillation.restore(content)
        log.info("continuing at step %d of %s", distillation.step, checkpoint)
    material = Material(features, space, seed=seed)
    on_start()
    if content is None and start is not None:
        cosine = start_from_encoder(distillation.network, start, material)
        log.info("starting from %s, cosine to the targets %.4f", start, cosine)
    elif content is None and is_warm:
        weights = read_moonshine(moonshine_weights())
        start_from(distillation.network, weights, TEACHER_LEVEL)
        distillation.network.head.load_state_dict(space.as_layer())
        fit_stem(distillation.network, weights, TEACHER_LEVEL, material, num_steps=STEM_STEPS)
        log.info("before the first step, held out: %s", distillation.validate(material))
    parts: list[dict[str, float]] = []
    started = time.monotonic()
    while distillation.step < num_steps:
        parts.append(distillation.update(material.batch(distillation.step)))
        if distillation.step % REPORT_STEPS == 0:
            means = {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}
            log.info("step %d  %s  %.2f s a step", distillation.step,
                     "  ".join(f"{name} {value:.4f}" for name, value in means.items()),
                     (time.monotonic() - started) / len(parts))  # fmt: skip
            parts, started = [], time.monotonic()
        if distillation.step % VALIDATION_STEPS == 0 or distillation.step == num_steps:
            log.info("step %d  held out: %s", distillation.step, distillation.validate(material))
            log.info(
                "step %d  held out, no later frames: %s", distillation.step, distillation.validate(material, future=0)
            )
            distillation.save(checkpoint, space)
    return distillation.validate(material)


def export(checkpoint: Path, weights: Path, features: Features, *, version: str) -> None:
    """Sharpen the network of a checkpoint (see sharpen.py) and write it as BuiltinContent reads it.

    Large matrices are rounded to 8 bits (utils/features/content/grid.py) but for the two that rounding would hurt most,
    the first filters and the head with its directions of very different size; the rest is in half precision.

    Args:
        checkpoint: of the training.
        weights: file to write.
        features: what the training learned from.
        version: what datasets and exports will name.
    Raises:
        ConfigError: if the weights exist already: datasets and voices made with them would no longer fit.
    """
    content = read_checkpoint(checkpoint)
    if weights.exists():
        raise ConfigError(f"--weights {weights} exists; datasets and voices made with it need it, so give another name")
    sizes = Sizes(**content["sizes"])
    network = sizes.build()
    network.load_state_dict(content["network"])
    sharpen(network, Material(features, TargetSpace(**content["space"]), seed=content["seed"]))
    named = {key: str(value) for key, value in asdict(sizes).items() if key != "num_units"}
    named |= {"version": version}
    save_weights(weights, to_grid(network.state_dict(), keep=KEPT_PRECISE), named)
    log.info("step %d of %s -> %s", content["step"], checkpoint, weights)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.content_encoder.distil", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--features", type=Path, required=True, help="file of teacher.py")
    parser.add_argument("--checkpoint", type=Path, required=True, help="file to continue from and to save to")
    parser.add_argument("--steps", type=int, default=1100, help="updates of the whole training")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, units and examples")
    parser.add_argument("--start", type=Path, help="finished encoder to begin with instead of the teacher's weights")
    parser.add_argument("--rate", type=float, default=LEARNING_RATE, help="highest learning rate")
    parser.add_argument("--export", action="store_true", help="write the checkpoint's network to --weights instead")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="file that --export writes")
    parser.add_argument("--encoder-version", default="own", help="version that datasets and exports will name")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="distil: %(message)s")
    try:
        check_range("--rate", options.rate, 1e-7, 0.1)
        check_range("--steps", options.steps, 1)
        check_range("--seed", options.seed, 0, MAX_SEED)
        features = load_features(options.features)
        if options.export:
            export(options.checkpoint, options.weights, features, version=options.encoder_version)
            return 0
        result = train(
            features, options.checkpoint, num_steps=options.steps, seed=options.seed, sizes=Sizes(), is_warm=True,
            start=options.start, rate=options.rate,
        )  # fmt: skip
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    emit(table([[name.replace("_", " "), value] for name, value in result._asdict().items()], ["held out", "value"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
