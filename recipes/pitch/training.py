"""Train the narrower pitch network to give what SwiftF0 gives, and write its weights."""

import logging
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from safetensors.torch import save
from torch import Tensor

from recipes.examples import PlainAndChanged
from recipes.pitch.channel_selection import narrowed_weights
from recipes.pitch.examples import PitchExamples
from recipes.schedule import share_of_rate
from utils.features.pitch.network import VOICING, PitchNetwork
from utils.features.pitch.swift import SwiftPitch
from utils.files import atomic_write_bytes

CHANNELS = 8  # as many as a processor with AVX2 computes at once; 12 take the time of 16
EDGE_FRAMES = 12  # not counted: half of the longest window is outside
RATE = 2e-3
WARMUP_UPDATES = 30
VOICING_WEIGHT = 2.0
MOMENT_BATCHES = 3  # of what the channels are chosen by
# added to the log odds of voicing: of the speech of 20 readers as many frames are then voiced as by SwiftF0;
# with more, soft voice is found more often (.32: accuracy on known pitch .853), but so are consonants and pauses
VOICING_SHIFT = -0.13
REPORT_UPDATES = 50
log = logging.getLogger(__name__)


def make_pitch_network(output: Path, examples: PitchExamples, num_updates: int) -> None:
    """Narrow the teacher, train and write the weights."""
    teacher = SwiftPitch()
    spectra = torch.cat([spectra_of(teacher, examples.batch().changed) for _ in range(MOMENT_BATCHES)])
    student = PitchNetwork(narrowed_weights(teacher.network, spectra, CHANNELS))
    train(student, teacher, examples, num_updates)
    with torch.no_grad():
        student.layer(VOICING)[1].add_(VOICING_SHIFT)
    atomic_write_bytes(output, save({name: value.data.contiguous() for name, value in student.weights.items()}))
    log.info("%s: %d numbers", output, sum(value.numel() for value in student.weights.values()))


def train(student: PitchNetwork, teacher: SwiftPitch, examples: PitchExamples, num_updates: int) -> None:
    """Train in place; the rate falls to zero as half a cosine."""
    learned = [value.requires_grad_() for value in student.weights.values()]
    optimizer = torch.optim.AdamW(learned, RATE, betas=(0.9, 0.98), weight_decay=1e-3)
    losses: list[float] = []
    for update in range(num_updates):
        optimizer.param_groups[0]["lr"] = RATE * share_of_rate(update, num_updates, WARMUP_UPDATES)
        loss = disagreement(student, teacher, examples.batch())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        if (update + 1) % REPORT_UPDATES == 0:
            log.info("update %d: %.4f", update + 1, float(np.mean(losses[-REPORT_UPDATES:])))


def disagreement(student: PitchNetwork, teacher: SwiftPitch, batch: PlainAndChanged) -> Tensor:
    """Return how far the student on changed audio is from the teacher on the plain one.

    The divergence of the pitch candidates, where the teacher finds a voice, plus the cross-entropy of the voicing.
    """
    with torch.no_grad():
        scores, odds = teacher.network(spectra_of(teacher, batch.plain))
        spectra = spectra_of(teacher, batch.changed)
    inner = slice(EDGE_FRAMES, -EDGE_FRAMES)
    found, voiced = (value[:, inner] for value in student(spectra))
    target, voicing = torch.log_softmax(scores, dim=-1)[:, inner], torch.sigmoid(odds)[:, inner]
    apart = functional.kl_div(torch.log_softmax(found, dim=-1), target, reduction="none", log_target=True).sum(-1)
    pitch = (apart * voicing).sum() / voicing.sum().clamp(min=1.0)
    return pitch + VOICING_WEIGHT * functional.binary_cross_entropy_with_logits(voiced, voicing)


def spectra_of(tracker: SwiftPitch, audio: Tensor) -> Tensor:
    """Return the spectrograms [B, 3, 128, F] that a pitch network reads of audio [B, T]."""
    return tracker.analyse(audio, by_fft=True)[2]
