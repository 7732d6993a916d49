"""Augmentation of training batches: their level, and content blended with that of the retrieval codebook."""

from dataclasses import replace

import numpy as np
import torch

from utils.audio.batch import VoiceBatch
from utils.audio.loudness import FLOOR_DB
from utils.features.content.base import normalize_content
from utils.features.retrieval import CodebookRetrieval

TAG = 0xA46


class BatchAugmentation:
    """Random gain on audio and loudness, and random retrieval of content.

    What happens to an example depends on the seed and the number of its segment alone, so that a resumed run sees the
    same batches, and one process the same as several with any number of micro-batches.

    Args:
        retrieval: the codebook that inference will use, or None.
        retrieval_share: share of clips whose content is blended with what the codebook returns.
        gain_down_db: largest attenuation.
        gain_up_db: largest amplification.
        seed: of all choices.
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
    def __call__(self, batch: VoiceBatch) -> VoiceBatch:
        """Return the changed batch."""
        chances = [np.random.default_rng([self.seed, TAG, segment]).random(3) for segment in batch.segment.tolist()]
        chance = torch.from_numpy(np.stack(chances)).float()
        gain_db = -self.gain_down_db + (self.gain_down_db + self.gain_up_db) * chance[:, :1]
        use = chance[:, 1] < self.retrieval_share
        rate = chance[:, 2] * use
        gain_db = gain_db.to(batch.audio.device)
        audio = batch.audio * 10 ** (gain_db / 20)
        loudness_db = (batch.loudness_db + gain_db).clamp(min=FLOOR_DB)
        content = batch.content
        if self.retrieval is not None and bool(use.any()):
            retrieval = self.retrieval.to(content.device)
            retrieved = retrieval(content, batch.speaker_id)
            blended = content + rate.to(content.device).view(-1, 1, 1) * (retrieved - content)
            content = normalize_content(blended) * content.square().mean(dim=-1, keepdim=True).sqrt()
        return replace(batch, audio=audio, loudness_db=loudness_db, content=content)
