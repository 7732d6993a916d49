"""Teach the pitch network of streams what SwiftF0 with all its look-ahead says, and judge it beside pitch=builtin.

    python -m benchmarks.streaming_pitch [--corpus FOLDER] [--minutes 3] [--start FILE] [--save FILE]

Recordings are sped up and slowed down (which moves their pitch), their level is changed and noise is added; SwiftF0
says what it hears and the causal network learns to say the same. With --minutes 0 the shipped weights are judged.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr
import torch
import torch.nn.functional as functional
from safetensors.torch import save
from torch import Tensor

from benchmarks.options import count, new_file
from benchmarks.pitch import CORPORA, Result, Track, build_conditions, measure, show
from utils.audio.frames import FEATURE_HOP, FEATURE_RATE
from utils.audio.io import load_audio
from utils.audio.listing import list_audio
from utils.errors import ConfigError, WorkbenchError
from utils.features.pitch.stream_pitch import HISTORY, LOOK_AHEAD, WEIGHTS, StreamPitch
from utils.features.pitch.swift import SwiftPitch, builtin_tracker
from utils.files import atomic_write_bytes

SECONDS, BATCH = 2.0, 8
WARM_UP_FRAMES = 20  # not judged: windows and memories fill
SPEEDS = (0.6, 1.7)
LEVELS_DB, NOISE_DB = (-18.0, 6.0), (5.0, 45.0)
NOISY_SHARE = 0.6
LEARNING_RATE = 1.5e-3
log = logging.getLogger(__name__)


class Material:
    """Random excerpts of a corpus at 16 kHz, changed in speed, level and noise.

    Args:
        corpus: folder of recordings.
        seed: of all random choices.
    """

    def __init__(self, corpus: Path, seed: int) -> None:
        self.paths = list_audio(corpus)
        self.rng = np.random.default_rng(seed)
        self.loaded: dict[Path, np.ndarray] = {}

    def draw(self) -> Tensor:
        """Return [BATCH, T]."""
        return torch.from_numpy(np.stack([self._excerpt() for _ in range(BATCH)]))

    def _excerpt(self) -> np.ndarray:
        path = self.paths[self.rng.integers(len(self.paths))]
        if path not in self.loaded:
            self.loaded[path] = load_audio(path, FEATURE_RATE)
        audio, count = self.loaded[path], round(SECONDS * FEATURE_RATE)
        speed = float(np.exp(self.rng.uniform(*np.log(SPEEDS))))
        length = int(count * speed) + 400
        start = self.rng.integers(max(1, len(audio) - length))
        moved = soxr.resample(audio[start : start + length], FEATURE_RATE, FEATURE_RATE / speed, quality="HQ")[:count]
        moved = np.pad(moved, (0, count - len(moved))) * 10 ** (self.rng.uniform(*LEVELS_DB) / 20)
        if self.rng.random() < NOISY_SHARE:
            level = np.sqrt(np.mean(np.square(moved)) + 1e-12) * 10 ** (-self.rng.uniform(*NOISE_DB) / 20)
            moved = moved + level * self.rng.standard_normal(count)
        return moved.astype(np.float32)


def train(student: StreamPitch, teacher: SwiftPitch, material: Material, minutes: float) -> None:
    """Train in place until the time is over; the learning rate falls to zero with it."""
    optimizer = torch.optim.Adam(student.weights.parameters(), lr=LEARNING_RATE)
    started, step = time.monotonic(), 0
    while (passed := (time.monotonic() - started) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 20) * (1 - passed)
        audio = material.draw()
        loss = disagreement(student, teacher, audio)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 25 == 0:
            log.info("step %d: %.4f", step, float(loss.detach()))


def disagreement(student: StreamPitch, teacher: SwiftPitch, audio: Tensor) -> Tensor:
    """Return the cross-entropy of candidates where the teacher hears a voice plus that of voicing, for [B, T]."""
    with torch.no_grad():
        scores, odds = teacher.network(teacher.analyse(audio)[2])
        voicing = torch.sigmoid(odds)
        # the newest sample is 224 behind the end of a frame
        spectra = student.spectra(functional.pad(audio, (HISTORY - LOOK_AHEAD, LOOK_AHEAD)))
    heard, voiced = student.network(spectra)
    target = torch.softmax(scores, dim=-1)[:, WARM_UP_FRAMES:]
    heard, voiced, sure = heard[:, WARM_UP_FRAMES:], voiced[:, WARM_UP_FRAMES:], voicing[:, WARM_UP_FRAMES:]
    entropy = -(target * torch.log_softmax(heard, dim=-1)).sum(-1)
    own = -(target * torch.log(target + 1e-9)).sum(-1)
    pitch = ((entropy - own) * sure).sum() / sure.sum().clamp(min=1.0)
    return pitch + 2.0 * functional.binary_cross_entropy_with_logits(voiced, sure)


def tracked(student: StreamPitch) -> Track:
    """Return the student as a function from audio [F * 160] to f0_hz [F] of the same frames."""

    early = -LOOK_AHEAD % FEATURE_HOP
    late = (LOOK_AHEAD + early) // FEATURE_HOP

    @torch.no_grad()
    def track(audio: np.ndarray) -> np.ndarray:
        padded = functional.pad(torch.from_numpy(audio)[None], (early, LOOK_AHEAD))
        return student(padded)[0, late:].numpy()

    return track


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming_pitch", description=(__doc__ or "")[:90])
    parser.add_argument("--corpus", type=Path, default=CORPORA, help="folder of speech, with one named librispeech")
    parser.add_argument("--minutes", type=float, default=0.0, help="of training")
    parser.add_argument("--start", type=Path, help="weights to start from (default: SwiftF0's, folded)")
    parser.add_argument("--save", type=new_file, help="write the weights here; an existing file is never replaced")
    parser.add_argument("--clips", type=count, default=10, help="recordings to judge on")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="streaming_pitch: %(message)s")
    torch.set_num_threads(1)
    try:
        if options.save and options.save.exists():
            raise ConfigError(f"--save {options.save} exists; give another name")
        teacher = SwiftPitch()
        start = options.start if options.minutes or options.start else WEIGHTS
        student = StreamPitch(teacher, start)
        if options.minutes:
            train(student, teacher, Material(options.corpus / "librispeech", options.seed), options.minutes)
        if options.save:
            atomic_write_bytes(options.save, save({name: value.data for name, value in student.weights.items()}))
        conditions = build_conditions(options.corpus.resolve(), options.clips, 4.0)
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    results: dict[str, Result] = {"all look-ahead": measure(builtin_tracker().track, conditions)}
    results["stream"] = measure(tracked(student), conditions)
    show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
