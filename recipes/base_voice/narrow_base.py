"""Write a base voice with narrower hidden layers, see recipes/base_voice/unit_removal.py."""

import itertools
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from models.base import BaseVoiceConversionModel
from recipes.base_voice.base_files import NETWORKS, base_file
from recipes.base_voice.unit_removal import narrow_blocks
from utils.audio.batch import VoiceBatch
from utils.audio.frames import FRAME_RATE
from utils.config import Pluggable
from utils.config.train import train_job
from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.features.content.builtin import read_weights
from utils.training.checkpoints import build_generator, save_weights
from utils.training.pretrained import CONTENT_HASH

NUM_BATCHES = 80  # of 12 clips of a second each


def narrow_base(base: Path, dataset: Path, expansion: int, *, version: str, output: Path) -> float:
    """Write a base whose generator has narrower hidden layers; the discriminator stays as it is.

    Args:
        base: folder of the base's files.
        dataset: the base's speakers, prepared with the encoder whose features it reads.
        expansion: width of the hidden layers as a multiple of the channels, less than the base's.
        version: recorded in the files.
        output: folder for both files.
    Returns:
        What narrow_blocks returns.
    Raises:
        ConfigError: if dataset, base and width do not belong together.
    """
    files = {name: read_weights(base / base_file(name)) for name in NETWORKS}
    metadata, tensors = files["generator"]
    store = CorpusStore.open(dataset)
    have = str(store.description.content.identity.get("weights_sha256", ""))
    if metadata.get(CONTENT_HASH) != have:
        raise ConfigError(f"{base / base_file('generator')} does not read the content features of {dataset}")
    voice, wide = _generator(tensors, store)
    if not 0 < expansion < wide:
        raise ConfigError(f"narrow={expansion}: the base has {wide}; give less, at least 1")
    lost = narrow_blocks(voice, itertools.islice(_batches(dataset), NUM_BATCHES), expansion)
    files["generator"] = (metadata, voice.state_dict())
    for name, (named, values) in files.items():
        save_weights(output / base_file(name), values, named | {"version": version})
    return lost


def _batches(dataset: Path) -> Iterable[VoiceBatch]:
    data = VoiceDataModule(
        CorpusStore.open(dataset), batch_size=12, segment_frames=FRAME_RATE, num_workers=0, seed=0, perturbed_share=0.5,
        val_segment_frames=FRAME_RATE,
    )  # fmt: skip
    return data.train_dataloader()


def _generator(tensors: dict[str, Tensor], store: CorpusStore) -> tuple[BaseVoiceConversionModel, int]:
    """Build the network that a base's tensors belong to; return it and how wide its hidden layers are."""
    speakers, speaker_dim = tensors["speaker.weight"].shape
    if speakers != len(store.speakers):
        raise ConfigError(f"the base has {speakers} speaker(s), {store.path} has {len(store.speakers)}")
    hidden, channels = tensors["blocks.0.expand.weight"].shape
    sizes = {
        "sample_rate": store.audio.sample_rate,
        "n_fft": store.audio.n_fft,
        "channels": channels,
        "num_blocks": sum(name.endswith("expand.bias") for name in tensors),
        "kernel_size": tensors["blocks.0.depthwise.weight"].shape[-1],
        "expansion": hidden // channels,
        "speaker_dim": speaker_dim,
    }
    model = Pluggable.of(train_job(["model=lite"]).model.to_plain() | sizes, "model")
    voice = build_generator(model, store.description)
    voice.load_state_dict({name: value.float() for name, value in tensors.items()})
    return voice.eval(), hidden // channels
