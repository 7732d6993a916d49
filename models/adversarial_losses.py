"""What a discriminator's scores and features cost it and the generator."""

from typing import Literal

import torch
from torch import Tensor

from models.discriminators import DiscriminatorOutput

Objective = Literal["balanced", "hifigan", "refinegan", "sovits", "vits"]


class AdversarialLosses:
    """Least-squares losses (Mao et al. 2017) and feature matching over all sub-networks of a discriminator.

    Args:
        objective: "balanced" takes means over the sub-networks and feature distances relative to their level, so that
            the weights hold for any discriminator; the others take plain sums (Kong et al. 2020), as RVC is trained;
            they differ in the spectral loss, see build_spectral_loss.
    """

    def __init__(self, objective: Objective) -> None:
        self.combine = torch.mean if objective == "balanced" else torch.sum
        self.is_relative = objective == "balanced"

    def of_discriminator(self, of_real: DiscriminatorOutput, of_fake: DiscriminatorOutput) -> Tensor:
        """Return the discriminator's own loss: scores should be 1 for real and 0 for fake audio."""
        pairs = zip(of_real.scores, of_fake.scores, strict=True)
        losses = [(1 - real.float()).square().mean() + fake.float().square().mean() for real, fake in pairs]
        return self.combine(torch.stack(losses))

    def of_generator(self, of_real: DiscriminatorOutput, of_fake: DiscriminatorOutput) -> dict[str, Tensor]:
        """Return the generator's terms: how far the scores are from 1, and the features from those of real audio."""
        scores = torch.stack([(1 - fake.float()).square().mean() for fake in of_fake.scores])
        distances = [
            self._feature_distance(fake.float(), real.detach().float())
            for real_part, fake_part in zip(of_real.features, of_fake.features, strict=True)
            for real, fake in zip(real_part, fake_part, strict=True)
        ]
        return {"adversarial": self.combine(scores), "feature_matching": self.combine(torch.stack(distances))}

    def _feature_distance(self, fake: Tensor, real: Tensor) -> Tensor:
        distance = (fake - real).abs()
        if not self.is_relative:
            return distance.mean()
        # clip by clip, so that the loss does not depend on which clips share a micro-batch
        return (distance.flatten(1).mean(dim=1) / (real.abs().flatten(1).mean(dim=1) + 1e-3)).mean()
