"""Start the speakers of a new voice at the mix of a base's speakers that sounds most like their recordings.

The base stays as it is: only the shares of its speakers are learnt, on the spectral loss of the training. A base that
was trained on many speakers can say a new one as a mix of them before any of its weights has changed.
"""

from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.func import functional_call

from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.store import CorpusStore
from utils.training.pretrained import SPEAKER_TABLE

BATCH, SEGMENT_FRAMES = 8, 100
PERTURBED_SHARE = 0.5  # of the segments, as in a training


@dataclass(frozen=True)
class FitSettings:
    """How the shares are learnt.

    Attributes:
        updates: for each speaker.
        most_updates: for all speakers together.
        learning_rate: of the logarithms of the shares.
    """

    updates: int = 40
    most_updates: int = 400
    learning_rate: float = 0.15


DEFAULTS = FitSettings()


def fit_speakers(
    generator: nn.Module,
    rows: Tensor,
    store: CorpusStore,
    spectral_loss: nn.Module,
    *,
    seed: int,
    settings: FitSettings = DEFAULTS,
) -> str:
    """Fill the speaker table of a network, in place, with mixes of a base's rows.

    Args:
        generator: the base's network, with its weights and a table of the dataset's speakers.
        rows: [R, C], the base's own speakers.
        store: the dataset.
        spectral_loss: from audio [B, T] and [B, T] to a scalar.
        seed: of the segments.
    Returns:
        One line that says what was done.
    """
    speakers = len(store.speakers)
    logits = torch.zeros(speakers, len(rows), requires_grad=True)  # all alike: the mean
    optimizer = torch.optim.Adam([logits], lr=settings.learning_rate, betas=(0.8, 0.99))
    data = VoiceDataModule(
        store, batch_size=BATCH, segment_frames=SEGMENT_FRAMES, num_workers=0, seed=seed,
        perturbed_share=PERTURBED_SHARE, val_segment_frames=SEGMENT_FRAMES,
    )  # fmt: skip
    fixed = {name: value.detach() for name, value in generator.state_dict().items() if name != SPEAKER_TABLE}
    updates = min(settings.updates * speakers, settings.most_updates)
    for batch in islice(data.train_dataloader(), updates):
        mixed = torch.softmax(logits, dim=1) @ rows
        made = functional_call(generator, {**fixed, SPEAKER_TABLE: mixed}, (batch,))
        optimizer.zero_grad()
        spectral_loss(made, batch.audio).backward()
        optimizer.step()
    with torch.no_grad():
        generator.get_parameter(SPEAKER_TABLE).copy_(torch.softmax(logits, dim=1) @ rows)
    return f"{speakers} speaker(s) start at the mix of the file's {len(rows)} that is nearest to their recordings"
