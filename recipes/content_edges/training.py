"""Train an encoder to hear in windows what it hears in the whole, and write its weights."""

import copy
import logging
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from recipes.content_edges.examples import CutBatch, CutExamples
from recipes.content_encoder.delivery import KEPT_PRECISE
from recipes.schedule import share_of_rate
from utils.errors import ConfigError, FormatError
from utils.features.content.builtin import SIZES, BuiltinContent, raise_level, read_weights, whole_frames
from utils.features.content.grid import to_grid
from utils.features.content.network import ContentNetwork
from utils.features.identity import SAME_FEATURES, weights_of_features
from utils.files import atomic_write
from utils.training.checkpoints import read_plain, save_weights
from utils.training.devices import has_native_bf16

SHORT_SHARE = 0.25  # of the whole excerpts are heard without a later frame, as streams hear
WARMUP_UPDATES = 30
REPORT_UPDATES = 20
log = logging.getLogger(__name__)


class EdgeTraining:
    """Teacher, pupil and the pupil's optimizer.

    Args:
        start: encoder that the pupil is at first.
        teacher: hears the whole; None: the start.
        num_updates: of the whole training; sets the schedule.
        rate: highest learning rate.
    Raises:
        ConfigError: if the features of the start are not the teacher's.
    """

    def __init__(
        self, start: BuiltinContent, teacher: BuiltinContent | None = None, *, num_updates: int, rate: float
    ) -> None:
        self.start, self.teacher = start, teacher or start
        if not set(weights_of_features(self.teacher.identity)) & set(weights_of_features(start.identity)):
            raise ConfigError(
                f"teacher={self.teacher.path.name} gives other features than start={start.path.name}; give an encoder "
                "that the start was taught by, or null"
            )
        self.num_updates, self.rate, self.update = num_updates, rate, 0
        self.pupil = copy.deepcopy(start.network).requires_grad_(True).train()
        self._optimizer = torch.optim.AdamW(self.pupil.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, batch: CutBatch) -> float:
        """Make one update; return the loss: 1 - cosine to what the teacher hears, mean over frames."""
        share = share_of_rate(self.update, self.num_updates, WARMUP_UPDATES)
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate * share
        future = 0 if batch.is_whole and self.update % round(1 / SHORT_SHARE) == 0 else None
        # a processor without instructions for bf16 is fifty times slower with it than in 32 bits
        with torch.autocast("cpu", torch.bfloat16, enabled=has_native_bf16()):
            loss = disagreement(self.pupil, self.teacher.network, batch, future=future)
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.pupil.parameters(), 1.0)
        self._optimizer.step()
        self.update += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write everything that a later start needs."""
        content = {
            "update": self.update, "num_updates": self.num_updates, "rate": self.rate, "start": self.start.sha256,
            "teacher": self.teacher.sha256,
            "pupil": self.pupil.state_dict(), "optimizer": self._optimizer.state_dict(),
        }  # fmt: skip
        atomic_write(path, partial(torch.save, content))

    def restore(self, path: Path) -> None:
        """Take over what save wrote.

        Raises:
            ConfigError: if it was begun with other settings.
            FormatError: if it is damaged or of another kind.
        """
        content: Any = read_plain(path, "the recipe's checkpoint")
        if not isinstance(content, dict) or "pupil" not in content:
            raise FormatError(f"{path} was not written by this recipe; delete it")
        start: str = content["start"]
        teacher: str = content.get("teacher", start)
        begun = (content["num_updates"], content["rate"], start, teacher)
        if begun != (self.num_updates, self.rate, self.start.sha256, self.teacher.sha256):
            raise ConfigError(
                f"{path} was begun with updates={begun[0]} rate={begun[1]:g}, a start of {start[:12]} and a teacher of "
                f"{teacher[:12]}; keep those, or give another output"
            )
        self.pupil.load_state_dict(content["pupil"])
        self._optimizer.load_state_dict(content["optimizer"])
        self.update = content["update"]


def disagreement(pupil: ContentNetwork, teacher: ContentNetwork, batch: CutBatch, *, future: int | None) -> Tensor:
    """Return 1 - cosine between what the pupil hears in windows and what the teacher hears there, mean over frames.

    Args:
        pupil: hears the windows.
        teacher: hears the whole excerpts.
        batch: see CutBatch.
        future: frames after the current one that the pupil's layers see; None: all that it was made for.
    """
    with torch.no_grad():
        target = teacher(raise_level(whole_frames(batch.whole)))[:, batch.frames].flatten(0, 1).float()
    found = pupil(raise_level(whole_frames(batch.heard)), future=future)[:, : target.shape[1]]
    return 1 - functional.cosine_similarity(found.float(), target, dim=-1).mean()


def make_edge_encoder(
    output: Path,
    examples: CutExamples,
    *,
    start: str,
    teacher: str | None,
    num_updates: int,
    rate: float,
    save_minutes: float,
    version: str,
) -> None:
    """Train to the end, saving on the way, and write the weights; see the recipe's settings."""
    state = output.with_suffix(".ckpt")
    whole = BuiltinContent(weights=teacher) if teacher is not None else None
    training = EdgeTraining(BuiltinContent(weights=start), whole, num_updates=num_updates, rate=rate)
    if state.is_file():
        training.restore(state)
        log.info("continuing at update %d of %s", training.update, state)
    losses: list[float] = []
    saved = time.monotonic()
    while training.update < num_updates:
        losses.append(training.step(examples.batch(training.update)))
        if training.update % REPORT_UPDATES == 0:
            recent = losses[-REPORT_UPDATES:]  # fewer where a training goes on
            log.info("update %d: %.4f", training.update, sum(recent) / len(recent))
        if time.monotonic() - saved > 60 * save_minutes:
            training.save(state)
            saved = time.monotonic()
    write(output, training, version)
    state.unlink(missing_ok=True)
    log.info("%s: %d updates from %s", output, num_updates, training.start.path.name)


def write(output: Path, training: EdgeTraining, version: str) -> None:
    """Write the pupil as content=builtin reads weights, on the grid of the recipe of encoders."""
    # the last is the one whose features they were first: what was trained on those fits
    features = weights_of_features(training.teacher.identity)[-1]
    named = {**_sizes(training.start), "version": version, SAME_FEATURES: features}
    save_weights(output, to_grid(training.pupil.state_dict(), keep=KEPT_PRECISE), named)


def _sizes(encoder: BuiltinContent) -> dict[str, str]:
    metadata = read_weights(encoder.path)[0]
    return {key: metadata[key] for key in SIZES}
