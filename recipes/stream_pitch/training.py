"""Train the pitch network of streams to give, from the past alone, what SwiftF0 gives with all its look-ahead."""

import logging
import time
from pathlib import Path

import torch
import torch.nn.functional as functional
from safetensors.torch import save
from torch import Tensor

from recipes.stream_pitch.examples import StreamPitchExamples
from utils.features.pitch.stream_pitch import HISTORY, LOOK_AHEAD, StreamPitch
from utils.features.pitch.swift import SwiftPitch
from utils.files import atomic_write_bytes

WARM_UP_FRAMES = 20  # not counted: windows and memories fill
WARM_UP_STEPS = 20
LEARNING_RATE = 1.5e-3
VOICING_WEIGHT = 2.0
REPORT_STEPS = 25
log = logging.getLogger(__name__)


def make_stream_network(output: Path, examples: StreamPitchExamples, *, minutes: float, start: Path | None) -> None:
    """Train for some minutes and write the weights.

    Args:
        output: file to write.
        examples: what to learn from.
        minutes: length of the training.
        start: weights to go on from; None starts from SwiftF0's, see StreamPitch.
    """
    teacher = SwiftPitch()
    student = StreamPitch(teacher, start)
    train(student, teacher, examples, minutes)
    atomic_write_bytes(output, save({name: value.data for name, value in student.weights.items()}))
    log.info("%s: %d numbers", output, sum(value.numel() for value in student.weights.values()))


def train(student: StreamPitch, teacher: SwiftPitch, examples: StreamPitchExamples, minutes: float) -> None:
    """Train in place until the time is over; the learning rate falls to zero with it."""
    optimizer = torch.optim.Adam(student.weights.parameters(), lr=LEARNING_RATE)
    started, step = time.monotonic(), 0
    while (passed := (time.monotonic() - started) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * (1 - passed)
        loss = disagreement(student, teacher, examples.batch())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % REPORT_STEPS == 0:
            log.info("step %d: %.4f", step, float(loss.detach()))


def disagreement(student: StreamPitch, teacher: SwiftPitch, audio: Tensor) -> Tensor:
    """Return how far the student is from the teacher on audio [B, T].

    The divergence of the pitch candidates, where the teacher finds a voice, plus the cross-entropy of the voicing.
    """
    with torch.no_grad():
        scores, odds = teacher.network(teacher.analyse(audio)[2])
        voicing = torch.sigmoid(odds)
        # the newest sample that the student reads lies LOOK_AHEAD behind the end of a frame
        spectra = student.spectra(functional.pad(audio, (HISTORY - LOOK_AHEAD, LOOK_AHEAD)))
    found, voiced = (value[:, WARM_UP_FRAMES:] for value in student.network(spectra))
    target, sure = torch.softmax(scores, dim=-1)[:, WARM_UP_FRAMES:], voicing[:, WARM_UP_FRAMES:]
    entropy = -(target * torch.log_softmax(found, dim=-1)).sum(-1)
    own = -(target * torch.log(target + 1e-9)).sum(-1)
    pitch = ((entropy - own) * sure).sum() / sure.sum().clamp(min=1.0)
    return pitch + VOICING_WEIGHT * functional.binary_cross_entropy_with_logits(voiced, sure)
