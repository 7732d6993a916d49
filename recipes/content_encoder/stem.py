"""Teach the student's convolutions what the teacher's give, before the layers behind them are trained at all.

The teacher's convolutions give 41.7 frames a second. They are shift-invariant, so evaluated at other positions they
give its frames at the student's centres exactly: the second one at every position of the first, the third one at every
fifth position of that. The student's cheaper convolutions learn to give the same from changed sound; then the teacher's
layers already work behind them, and the training proper has little to unlearn.
"""

import logging

import torch
import torch.nn.functional as functional
from torch import Tensor

from recipes.content_encoder.examples import ContentExamples
from recipes.content_encoder.moonshine import TEACHER_STRIDES
from recipes.content_encoder.teacher import TEACHER_CENTRE
from recipes.schedule import share_of_rate
from utils.features.content.network import FRAME_SAMPLES, ContentNetwork

RATE = 1e-3
WARMUP_STEPS = 20
REPORT_STEPS = 50
log = logging.getLogger(__name__)


def teacher_stem(weights: dict[str, Tensor], audio: Tensor, level: tuple[float, float]) -> Tensor:
    """Return the teacher's frames at the student's centres, [B, F, C], of audio [B, F * 320] at 16 kHz.

    Args:
        weights: of read_moonshine.
        audio: at the level that the teacher is given.
        level: mean and standard deviation over channels and time of what the teacher's group norm sees.
    """
    first, second, _ = TEACHER_STRIDES
    size = (weights["conv3.weight"].shape[2] - 1) * first * second + (weights["conv2.weight"].shape[2] - 1) * first
    before = TEACHER_CENTRE - FRAME_SAMPLES // 2
    after = size + weights["conv1.weight"].shape[2] - FRAME_SAMPLES - before
    padded = functional.pad(audio, (before, after)).unsqueeze(1)
    x = torch.tanh(functional.conv1d(padded, weights["conv1.weight"], stride=first))
    scale = weights["groupnorm.weight"] / level[1]
    x = (x - level[0]) * scale[:, None] + weights["groupnorm.bias"][:, None]
    x = functional.gelu(functional.conv1d(x, weights["conv2.weight"], weights["conv2.bias"]))
    stride = FRAME_SAMPLES // first
    x = functional.conv1d(x, weights["conv3.weight"], weights["conv3.bias"], dilation=second, stride=stride)
    return functional.gelu(x).transpose(1, 2)


def fit_stem(
    network: ContentNetwork,
    weights: dict[str, Tensor],
    level: tuple[float, float],
    examples: ContentExamples,
    *,
    num_steps: int,
) -> float:
    """Train the convolutions of a network in place; nothing else of it changes.

    Args:
        network: already filled by start_from.
        weights: of read_moonshine.
        level: see teacher_stem.
        examples: clips of the training.
        num_steps: updates; the rate falls to zero as half a cosine.
    Returns:
        Squared error over the power of the teacher's frames, over the last updates.
    """
    parameters = [value for part in (network.filters, network.widen, network.narrow) for value in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, RATE, betas=(0.9, 0.98), weight_decay=0.0)
    errors: list[float] = []
    for step in range(num_steps):
        optimizer.param_groups[0]["lr"] = RATE * share_of_rate(step, num_steps, WARMUP_STEPS)
        plain, changed = examples.plain_and_changed(step)
        with torch.no_grad():
            wanted = teacher_stem(weights, plain, level)
        error = (network.stem(changed) - wanted).square().sum() / wanted.square().sum()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
        if (step + 1) % REPORT_STEPS == 0:
            log.info("convolutions, step %d  error %.4f", step + 1, sum(errors[-REPORT_STEPS:]) / REPORT_STEPS)
    recent = errors[-REPORT_STEPS:]
    return sum(recent) / max(1, len(recent))
