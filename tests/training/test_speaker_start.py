"""The speakers of a new voice start at the mix of a base's speakers that is nearest to their recordings."""

import pytest
import torch
from torch import Tensor, nn

from tests.tools.corpus_tools import make_job, write_sounds
from utils.audio.batch import VoiceBatch
from utils.audio.synthetic_speech import voice
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.store import CorpusStore
from utils.training.losses import MultiResolutionMelLoss
from utils.training.speaker_start import FitSettings, fit_speakers


class Louder(nn.Module):
    """A network whose speakers differ in their level: the gain is the sum of a row."""

    def __init__(self) -> None:
        super().__init__()
        self.speaker = nn.Embedding(1, 2)
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, batch: VoiceBatch) -> Tensor:
        gain = self.speaker(batch.speaker_id).sum(dim=1, keepdim=True)
        return batch.audio * gain * self.weight


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> CorpusStore:
    folder = tmp_path_factory.mktemp("start")
    write_sounds(folder / "source", {f"{index}.wav": voice(1.2, seed=index) for index in range(4)})
    prepare_dataset(make_job(folder / "source", folder / "data", "dataset.speaker=a", "preprocess.content_speeds=[]"))
    return CorpusStore.open(folder / "data")


@pytest.mark.slow
def test_the_mix_is_found_and_nothing_else_is_touched(store: CorpusStore) -> None:
    rows = torch.tensor([[0.1, 0.1], [0.5, 0.5], [4.0, 4.0]])  # the middle one sounds as the recordings do
    network, settings = Louder(), FitSettings(updates=12, learning_rate=0.8)
    loss = MultiResolutionMelLoss(sample_rate=16000, windows=(512,), bands=(40,))

    note = fit_speakers(network, rows, store, loss, seed=1, settings=settings)
    first = network.speaker.weight.detach().clone()
    fit_speakers(network, rows, store, loss, seed=1, settings=settings)

    assert first.sum(dim=1).tolist() == pytest.approx([1.0], abs=0.2)
    assert torch.equal(network.speaker.weight, first)
    assert network.weight.item() == 1.0 and network.weight.grad is None
    assert note.startswith("1 speaker(s) start at the mix of the file's 3 that is nearest")
