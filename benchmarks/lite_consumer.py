"""The training of model=lite in a plain loop: what consumes the clips that are loaded."""

import time
from pathlib import Path

import torch
from torch import Tensor

from utils.audio.batch import VoiceBatch
from utils.config.train import train_job
from utils.corpus.store import CorpusStore
from utils.training.checkpoints import build_generator
from utils.training.devices import has_native_bf16
from utils.training.losses import MultiResolutionMelLoss


class LiteConsumer:
    """Training of model=lite with its discriminator, without any framework around it.

    Args:
        dataset: for the sizes of content and speakers.
        batch: what it is trained on again and again.
    """

    def __init__(self, dataset: Path, batch: VoiceBatch) -> None:
        config = train_job(["model=lite"])
        self.generator = build_generator(config.model, CorpusStore.open(dataset).description)
        self.discriminator = config.discriminator.build()
        self.spectral = MultiResolutionMelLoss(sample_rate=config.audio.sample_rate)
        self.samples = config.loss.adversarial_frames * config.audio.hop_length
        self.optimizers = [torch.optim.AdamW(net.parameters(), lr=1e-5) for net in (self.generator, self.discriminator)]
        self.batch = batch
        self.is_half = has_native_bf16()

    def step(self) -> None:
        """Do one update of both networks."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.is_half):
            fake, real = self.generator(self.batch), self.batch.audio
            near, far = real[:, : self.samples], fake[:, : self.samples]
            both = self.discriminator(torch.cat([near, far.detach()]))
            halves = [score.float().chunk(2) for score in both.scores]
            told_apart = torch.stack([(1 - good).square().mean() + bad.square().mean() for good, bad in halves]).mean()
        told_apart.backward()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.is_half):
            self.discriminator.requires_grad_(False)
            output = self.discriminator(far)
            self.discriminator.requires_grad_(True)
            terms: list[Tensor] = [15.0 * self.spectral(fake, real)]
            terms += [(1 - score.float()).square().mean() for score in output.scores]
            for layers, wanted in zip(output.features, both.features, strict=True):
                terms += [
                    (layer.float() - target[: len(layer)].detach().float()).abs().mean()
                    for layer, target in zip(layers, wanted, strict=True)
                ]
        torch.stack(terms).sum().backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def clips_per_second(self, seconds: float) -> float:
        """Return how many clips are used up; the first update is not counted."""
        self.step()
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            self.step()
            count += len(self.batch.audio)
        return count / (time.perf_counter() - started)
