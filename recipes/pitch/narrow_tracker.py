"""Make the network of pitch=builtin: SwiftF0's with fewer channels, taught by SwiftF0.

    python -m recipes.pitch.narrow_tracker --output pitch.safetensors --corpus NAME=FOLDER=SHARE [...] [--updates 2400]

Of the twelve channels of every layer, those are left out that the others can stand in for by least squares, and what
stood on them is put on the others. Then the network learns, from changed sound, what SwiftF0 hears in the plain one, at
our 10 ms frames. Last, the odds of its voicing are set so that it calls as much speech voiced as SwiftF0.
"""

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
import torch
import torch.nn.functional as functional
from safetensors.torch import save
from torch import Tensor

from recipes.content_encoder.corpora import Corpus, list_recordings, parse_corpus
from recipes.content_encoder.sound_augmentation import Augmentation, augment, smooth_curve
from utils.audio.frames import FEATURE_RATE
from utils.audio.io import load_audio
from utils.config import MAX_SEED, check_range
from utils.errors import ConfigError, DataError, WorkbenchError
from utils.features.pitch.network import (
    BLOCK_STARTS,
    LAST_BLOCK,
    NUM_CANDIDATES,
    READER,
    VOICING,
    PitchNetwork,
)
from utils.features.pitch.swift import SwiftPitch
from utils.files import atomic_write_bytes, check_new_file

CHANNELS = 8  # as many as a processor with AVX2 computes at once; 12 take the time of 16
SECONDS, BATCH = 2.0, 8
EDGE_FRAMES = 12  # not judged: half of the longest window is outside
SPEEDS = (0.5, 3.0)
TONE_SHARE = 0.1  # of the excerpts are harmonic tones, for pitches that speech does not reach
TONE_HZ = (55.0, 1050.0)
CHANGES = Augmentation(
    reverb_share=0.15, noise_share=0.65, snr_range_db=(3.0, 40.0), equalizer_db=4.0, level_range_db=(-18.0, 6.0)
)
RATE = 2e-3
WARMUP_UPDATES = 30
MAX_UPDATES = 10**6
VOICING_WEIGHT = 2.0
MOMENT_BATCHES = 3  # of what the channels are chosen by
# added to the logarithmic odds of voicing: of the speech of 20 readers as many frames are then voiced as by SwiftF0;
# with more, soft voice is found more often (.32: accuracy on known pitch .853), but so are consonants and pauses
VOICING_SHIFT = -0.13
REPORT_UPDATES = 50
log = logging.getLogger(__name__)


class Material:
    """Random excerpts of 16 kHz, as they are but for their speed, and changed.

    Args:
        corpora: folders; an excerpt's corpus is drawn by its share, then its speaker, then the recording.
        left_out: speakers who are not drawn from.
        seed: of all random choices.
    Raises:
        DataError: if a corpus has nobody else.
    """

    def __init__(self, corpora: Sequence[Corpus], left_out: Sequence[str] = (), seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.loaded: dict[Path, np.ndarray] = {}
        self.speakers: dict[str, dict[str, list[Path]]] = {corpus.name: {} for corpus in corpora}
        for item in list_recordings(corpora, {}):
            if item.speaker not in left_out:
                self.speakers[item.corpus].setdefault(item.speaker, []).append(item.path)
        empty = [name for name, speakers in self.speakers.items() if not speakers]
        if empty:
            raise DataError(f"--corpus {empty[0]} has nobody else than the speakers of --leave-out")
        shares = np.array([corpus.share for corpus in corpora])
        self.shares = shares / shares.sum()

    def draw(self, count: int = BATCH) -> tuple[Tensor, Tensor]:
        """Return plain and changed audio, each [count, T]."""
        plain = [self._excerpt() for _ in range(count)]
        changed = [augment(audio, self.rng, CHANGES) for audio in plain]
        return torch.from_numpy(np.stack(plain)), torch.from_numpy(np.stack(changed))

    def _excerpt(self) -> np.ndarray:
        length = round(SECONDS * FEATURE_RATE)
        if self.rng.random() < TONE_SHARE:
            return random_tone(self.rng, length)
        audio = self._recording()
        speed = math.exp(self.rng.uniform(*np.log(SPEEDS)))
        needed = int(length * speed) + 400
        start = self.rng.integers(max(1, len(audio) - needed))
        part = soxr.resample(audio[start : start + needed], FEATURE_RATE, FEATURE_RATE / speed, quality="HQ")[:length]
        return np.pad(part, (0, length - len(part))).astype(np.float32)

    def _recording(self) -> np.ndarray:
        speakers = self.speakers[list(self.speakers)[self.rng.choice(len(self.shares), p=self.shares)]]
        paths = speakers[list(speakers)[self.rng.integers(len(speakers))]]
        path = paths[self.rng.integers(len(paths))]
        if path not in self.loaded:
            self.loaded[path] = load_audio(path, FEATURE_RATE)
        return self.loaded[path]


def random_tone(rng: np.random.Generator, length: int) -> np.ndarray:
    """Return a harmonic tone [length] at 16 kHz that glides by up to an octave; its spectrum falls and is uneven."""
    centre = rng.uniform(*np.log2(TONE_HZ))
    curve = 2 ** np.clip(centre + rng.uniform(0, 0.25) * smooth_curve(rng, length, num_knots=8), *np.log2(TONE_HZ))
    number = np.arange(1, int(0.45 * FEATURE_RATE / curve.max()) + 1)
    gains_db = 6 * rng.standard_normal(len(number)) - rng.uniform(3, 12) * np.log2(number)
    angles = 2 * np.pi * np.cumsum(curve) / FEATURE_RATE
    starts = rng.uniform(0, 2 * np.pi, len(number))
    sound = sum(
        10 ** (gain / 20) * np.sin(harmonic * angles + start)
        for harmonic, gain, start in zip(number, gains_db, starts, strict=True)
    )
    swell = 10 ** (6 * smooth_curve(rng, length, num_knots=6) / 20)
    return (0.2 * sound * swell / np.abs(sound * swell).max()).astype(np.float32)


class Selection(NamedTuple):
    """Channels that stay, and a matrix [all, staying] that makes all of them by least squares."""

    kept: list[int]
    others: Tensor


def narrowed(network: PitchNetwork, spectra: Tensor, channels: int) -> dict[str, Tensor]:
    """Return the weights of a network with fewer channels that starts near the given one.

    The channels that pass from block to block are the same everywhere; those inside a block are chosen for each.

    Args:
        network: the wide one.
        spectra: [B, 3, 128, F], sound on which the channels are compared.
        channels: how many stay.
    """
    readers = [*BLOCK_STARTS, READER]
    outside, inside = _second_moments(network, spectra)
    passed = _best(outside, [network.layer(index)[0] for index in readers], channels)
    weights = {name: value.detach().clone() for name, value in network.weights.items()}
    _keep_outputs(weights, 0, passed)
    for moment, index in zip(outside, readers, strict=True):
        _move_inputs(weights, index, _stand_in(moment, passed))
    for moment, first in zip(inside, BLOCK_STARTS, strict=True):
        _keep_outputs(weights, first + 1, passed)
        own = _best([moment], [weights[f"weight_{first + 1}"]], channels)
        _keep_outputs(weights, first, own)
        _move_inputs(weights, first + 1, _stand_in(moment, own))
    return weights


@torch.no_grad()
def _second_moments(network: PitchNetwork, spectra: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return mean products of channels [C, C]: before every block and after the last, then inside each."""
    outside, inside = [], []
    x = network.convolve(spectra, 0).relu()
    for first in BLOCK_STARTS:
        outside.append(_moment(x))
        inner = network.convolve(x, first).relu()
        inside.append(_moment(inner))
        x = (x + network.convolve(inner, first + 1)).relu()
        x = x[:, :, :NUM_CANDIDATES] if first == LAST_BLOCK else x
    return [*outside, _moment(x)], inside


def _moment(x: Tensor) -> Tensor:
    flat = x.double().transpose(0, 1).flatten(1)
    return flat @ flat.T / flat.shape[1]


def _best(moments: Sequence[Tensor], readers: Sequence[Tensor], count: int) -> list[int]:
    """Return the channels from which all can be made best: with the least error in what reads them, summed."""
    worth = [torch.einsum("oikl,ojkl->ij", weight.double(), weight.double()) for weight in readers]
    whole = [float((moment * value).sum()) for moment, value in zip(moments, worth, strict=True)]

    def error(kept: list[int]) -> float:
        return sum(
            float(((moment - _stand_in(moment, kept).others @ moment[kept]) * value).sum()) / total
            for moment, value, total in zip(moments, worth, whole, strict=True)
        )

    return min((list(kept) for kept in combinations(range(len(moments[0])), count)), key=error)


def _stand_in(moment: Tensor, kept: list[int]) -> Selection:
    ridge = 1e-6 * moment.diagonal().mean() * torch.eye(len(kept), dtype=moment.dtype)
    others = torch.linalg.solve(moment[kept][:, kept] + ridge, moment[kept]).T
    return Selection(kept, others)


def _keep_outputs(weights: dict[str, Tensor], index: int, kept: list[int]) -> None:
    for name in (f"weight_{index}", f"bias_{index}"):
        weights[name] = weights[name][kept]


def _move_inputs(weights: dict[str, Tensor], index: int, selection: Selection) -> None:
    name = f"weight_{index}"
    weights[name] = torch.einsum("oikl,ij->ojkl", weights[name].double(), selection.others).float()


def train(student: PitchNetwork, teacher: SwiftPitch, material: Material, num_updates: int) -> None:
    """Train in place; the rate falls to zero as half a cosine."""
    learned = [value.requires_grad_() for value in student.weights.values()]
    optimizer = torch.optim.AdamW(learned, RATE, betas=(0.9, 0.98), weight_decay=1e-3)
    losses: list[float] = []
    for update in range(num_updates):
        share = min(1.0, (update + 1) / WARMUP_UPDATES) * 0.5 * (1 + math.cos(math.pi * update / num_updates))
        optimizer.param_groups[0]["lr"] = RATE * share
        loss = disagreement(student, teacher, *material.draw())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        if (update + 1) % REPORT_UPDATES == 0:
            log.info("update %d: %.4f", update + 1, float(np.mean(losses[-REPORT_UPDATES:])))


def disagreement(student: PitchNetwork, teacher: SwiftPitch, plain: Tensor, changed: Tensor) -> Tensor:
    """Return how far the student on changed audio [B, T] is from the teacher on the plain one: the divergence of the
    candidates where the teacher hears a voice, plus the cross-entropy of voicing."""
    with torch.no_grad():
        scores, odds = teacher.network(read(teacher, plain))
        spectra = read(teacher, changed)
    judged = slice(EDGE_FRAMES, -EDGE_FRAMES)
    heard, voiced = (value[:, judged] for value in student(spectra))
    target, voicing = torch.log_softmax(scores, dim=-1)[:, judged], torch.sigmoid(odds)[:, judged]
    apart = functional.kl_div(torch.log_softmax(heard, dim=-1), target, reduction="none", log_target=True).sum(-1)
    pitch = (apart * voicing).sum() / voicing.sum().clamp(min=1.0)
    return pitch + VOICING_WEIGHT * functional.binary_cross_entropy_with_logits(voiced, voicing)


def read(tracker: SwiftPitch, audio: Tensor) -> Tensor:
    """Return [B, 3, 128, F], what a network reads of audio [B, T]."""
    return tracker.analyse(audio, by_fft=True)[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.pitch.narrow_tracker", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--output", type=Path, required=True, help="a new file")
    parser.add_argument("--corpus", action="append", required=True, metavar="NAME=FOLDER=SHARE")
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="SPEAKER", help="speakers that are not heard")
    parser.add_argument("--updates", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="pitch: %(message)s")
    torch.set_num_threads(1)
    try:
        check_range("--updates", options.updates, 1, MAX_UPDATES)
        check_range("--seed", options.seed, 0, MAX_SEED)
        check_new_file(options.output, "--output")
        if options.output.exists():
            raise ConfigError(f"--output {options.output} exists; give another name")
        corpora = [parse_corpus(text) for text in options.corpus]
        make(options.output, Material(corpora, options.leave_out, options.seed), options.updates)
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def make(output: Path, material: Material, num_updates: int) -> None:
    """Narrow the teacher, train and write the weights."""
    teacher = SwiftPitch()
    heard = torch.cat([read(teacher, material.draw()[1]) for _ in range(MOMENT_BATCHES)])
    student = PitchNetwork(narrowed(teacher.network, heard, CHANNELS))
    train(student, teacher, material, num_updates)
    with torch.no_grad():
        student.layer(VOICING)[1].add_(VOICING_SHIFT)
    atomic_write_bytes(output, save({name: value.data.contiguous() for name, value in student.weights.items()}))
    log.info("%s: %d numbers", output, sum(value.numel() for value in student.weights.values()))


if __name__ == "__main__":
    sys.exit(main())
