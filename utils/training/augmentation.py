"""Changes of training batches that make a voice robust: level, and content seen through the retrieval codebook."""

from dataclasses import replace

import torch

from utils.audio.batch import VoiceBatch
from utils.features.content.base import normalize_content
from utils.features.retrieval import CodebookRetrieval


class BatchAugmentation:
    """Random gain on audio and loudness, and random retrieval of content.

    The draw depends on the seed and the step alone, so that a resumed run sees the same batches.

    Args:
        retrieval: the codebook that inference will use, or None.
        retrieval_share: share of clips whose content is blended with what the codebook returns.
        gain_down_db: largest attenuation.
        gain_up_db: largest amplification.
        seed: seed of the draws.
    """

    def __init__(
        self,
        retrieval: CodebookRetrieval | None,
        *,
        retrieval_share: float,
        gain_down_db: float,
        gain_up_db: float,
        seed: int,
    ) -> None:
        self.retrieval = retrieval
        self.retrieval_share = retrieval_share
        self.gain_down_db, self.gain_up_db = gain_down_db, gain_up_db
        self.seed = seed

    @torch.no_grad()
    def __call__(self, batch: VoiceBatch, step: int) -> VoiceBatch:
        """Return the changed batch for a step."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        count = len(batch.audio)
        gain_db = -self.gain_down_db + (self.gain_down_db + self.gain_up_db) * torch.rand(count, 1, generator=generator)
        use = torch.rand(count, generator=generator) < self.retrieval_share
        rate = torch.rand(count, generator=generator) * use
        gain_db = gain_db.to(batch.audio.device)
        audio = batch.audio * 10 ** (gain_db / 20)
        loudness_db = (batch.loudness_db + gain_db).clamp(min=-80.0)
        content = batch.content
        if self.retrieval is not None and bool(use.any()):
            retrieval = self.retrieval.to(content.device)
            retrieved = retrieval(content, batch.speaker_id)
            blended = content + rate.to(content.device).view(-1, 1, 1) * (retrieved - content)
            content = normalize_content(blended) * content.square().mean(dim=-1, keepdim=True).sqrt()
        return replace(batch, audio=audio, loudness_db=loudness_db, content=content)
