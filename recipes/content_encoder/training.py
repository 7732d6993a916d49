"""Train the student: start, updates, validation and checkpoints on the way."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as functional

from recipes.content_encoder.examples import ContentExamples, as_float
from recipes.content_encoder.moonshine import read_moonshine, start_from
from recipes.content_encoder.stem import fit_stem
from recipes.content_encoder.student import LEARNING_RATE, Distillation, StudentSizes, Validation, read_checkpoint
from recipes.content_encoder.target_space import TargetSpace, fit_space
from recipes.content_encoder.teacher import moonshine_weights
from recipes.content_encoder.teacher_features import Features
from utils.errors import ConfigError
from utils.features.content.builtin import BuiltinContent
from utils.features.content.network import ContentNetwork
from utils.files import sha256_of_file

VALIDATION_STEPS = 250
REPORT_STEPS = 50
STEM_STEPS = 250
NUM_FITTED = 60  # clips that a last layer is fitted to, some 10 minutes
FIT_RIDGE = 1e-5  # of the mean square of what the layer reads
# mean and deviation of what the teacher's group norm sees, over seven LibriSpeech readers
TEACHER_LEVEL = (0.0, 0.0945)
log = logging.getLogger(__name__)


def train(
    features: Features,
    checkpoint: Path,
    *,
    num_steps: int,
    seed: int,
    sizes: StudentSizes,
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
        sizes, space = StudentSizes(**content["sizes"]), TargetSpace(**content["space"])
    else:
        frames = [clip.feature for clip in features.clips if not clip.recording.is_held_out]
        space = fit_space(frames, dim=sizes.dim, num_units=sizes.num_units, seed=seed)
    distillation = Distillation(
        sizes, num_steps=num_steps, seed=seed, rate=rate, start=sha256_of_file(start) if start else "",
        features=features.digest(),
    )  # fmt: skip
    if content:
        distillation.restore(content)
        log.info("continuing at step %d of %s", distillation.step, checkpoint)
    examples = ContentExamples(features, space, seed=seed)
    on_start()
    if content is None and start is not None:
        cosine = start_from_encoder(distillation.network, start, examples)
        log.info("starting from %s, cosine to the targets %.4f", start, cosine)
    elif content is None and is_warm:
        start_from_teacher(distillation.network, examples)
        log.info("before the first step, held out: %s", distillation.validate(examples))
    run_steps(distillation, examples, checkpoint)
    return distillation.validate(examples)


def run_steps(distillation: Distillation, examples: ContentExamples, checkpoint: Path) -> None:
    """Make all steps that are left, with a report, a validation and a checkpoint every so many."""
    parts: list[dict[str, float]] = []
    started = time.monotonic()
    while distillation.step < distillation.num_steps:
        parts.append(distillation.update(examples.batch(distillation.step)))
        step = distillation.step
        if step % REPORT_STEPS == 0:
            means = {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}
            losses = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
            log.info("step %d  %s  %.2f s a step", step, losses, (time.monotonic() - started) / len(parts))
            parts, started = [], time.monotonic()
        if step % VALIDATION_STEPS == 0 or step == distillation.num_steps:
            log.info("step %d  held out: %s", step, distillation.validate(examples))
            log.info("step %d  held out, no later frames: %s", step, distillation.validate(examples, future=0))
            distillation.save(checkpoint, examples.space)


def start_from_teacher(network: ContentNetwork, examples: ContentExamples) -> None:
    """Begin with the teacher's weights, a last layer that projects onto the targets, and fitted convolutions."""
    weights = read_moonshine(moonshine_weights())
    start_from(network, weights, TEACHER_LEVEL)
    network.head.load_state_dict(examples.space.as_layer())
    fit_stem(network, weights, TEACHER_LEVEL, examples, num_steps=STEM_STEPS)


@torch.no_grad()
def start_from_encoder(network: ContentNetwork, weights: Path, examples: ContentExamples) -> float:
    """Begin with a finished encoder, its last layer fitted to the targets anew: it was sharpened (see sharpen.py).

    Args:
        network: of the same sizes; filled in place.
        weights: file of export.
        examples: clips of the training.
    Returns:
        Mean cosine to the targets of the clips that the layer was fitted to.
    Raises:
        ConfigError: if it is no encoder of ours or has other sizes.
    """
    encoder = BuiltinContent(weights=str(weights)).network
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    if {name: value.shape for name, value in encoder.state_dict().items()} != wanted:
        raise ConfigError(f"start={weights}: that encoder has other sizes than the one to be trained")
    network.load_state_dict(encoder.state_dict())
    clips = examples.sample(NUM_FITTED)
    hidden = torch.cat([network.hidden(as_float(clip.audio)[None])[0] for clip in clips]).double()
    target = torch.cat([clip.target for clip in clips]).double()
    given = torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)
    square = given.T @ given
    # the norm before the layer leaves one direction without any signal, which least squares alone would fill with noise
    ridge = FIT_RIDGE * square.trace() / len(square) * torch.eye(len(square), dtype=square.dtype)
    solution = torch.linalg.solve(square + ridge, given.T @ target) * math.sqrt(target.shape[1])  # see losses
    network.head.load_state_dict({"weight": solution[:-1].T.float(), "bias": solution[-1].float()})
    return float(functional.cosine_similarity(given @ solution, target).mean())
