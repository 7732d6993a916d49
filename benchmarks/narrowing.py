"""Narrow the hidden layers of a base voice: leave out the units that the others can stand in for.

Optimal brain surgeon (Hassibi and Stork 1993) on whole units: over frames of a dataset, the unit whose loss changes the
layer's output least goes, and the weights of the others make up for it by least squares; then the next.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor

from models.layers.convnext import ConvNeXtBlock
from models.lite import LiteVoice
from utils.audio.batch import VoiceBatch
from utils.audio.frames import FRAME_RATE
from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.features.content.builtin import read_weights
from utils.training.checkpoints import save_weights
from utils.training.pretrained import CONTENT_HASH

DAMPING = 1e-4  # of the mean square of the units
NUM_BATCHES = 80  # of 12 clips of a second each


@torch.no_grad()
def narrow(voice: LiteVoice, batches: Iterable[VoiceBatch], expansion: int) -> float:
    """Reduce the hidden layers of a voice in place.

    Args:
        voice: whose blocks are wider than that.
        batches: to listen to; a few thousand frames for each unit that stays are enough.
        expansion: width of the hidden layers as a multiple of the voice's channels.
    Returns:
        Mean over the blocks of the squared error of their outputs, as a part of the outputs' squares.
    """
    blocks = [block for block in voice.blocks if isinstance(block, ConvNeXtBlock)]
    moments = _moments(voice, blocks, batches)
    lost = [_narrow_block(block, moment, expansion) for block, moment in zip(blocks, moments, strict=True)]
    return sum(lost) / len(lost)


def _moments(voice: LiteVoice, blocks: list[ConvNeXtBlock], batches: Iterable[VoiceBatch]) -> list[Tensor]:
    """Return for each block the mean products [H + 1, H + 1] of its hidden units, a unit that is always 1 the last."""
    sums = [torch.zeros(block.expand.out_features + 1, block.expand.out_features + 1).double() for block in blocks]
    frames = 0

    def listen(index: int, made: Tensor) -> None:
        hidden = functional.gelu(made.float(), approximate="tanh").flatten(0, -2)
        hidden = torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)
        sums[index] += (hidden.T @ hidden).double()

    hooks = [
        block.expand.register_forward_hook(lambda _, __, made, index=index: listen(index, made))
        for index, block in enumerate(blocks)
    ]
    try:
        for batch in batches:
            voice(batch)
            frames += batch.f0_hz.numel()
    finally:
        for hook in hooks:
            hook.remove()
    return [total / frames for total in sums]


def _narrow_block(block: ConvNeXtBlock, moment: Tensor, expansion: int) -> float:
    """Leave out units of one block; return the part of its output's squares that is lost."""
    weight = torch.cat([block.project.weight, block.project.bias[:, None]], dim=1).double()
    gain = block.scale.double().square()[:, None]  # of the squared error of each output
    power = float((gain * ((weight @ moment) * weight)).sum())
    kept, weight = remaining_units(weight, moment, gain, expansion * block.project.out_features)
    error = torch.cat([block.project.weight, block.project.bias[:, None]], dim=1).double() - weight
    block.expand = _linear(block.expand.weight[kept], block.expand.bias[kept])
    block.project = _linear(weight[:, kept].float(), weight[:, -1].float())
    return float((gain * ((error @ moment) * error)).sum()) / power


def remaining_units(weight: Tensor, moment: Tensor, gain: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Choose the units that stay.

    Args:
        weight: [C, H + 1], of H units and a constant one that always stays, at the end.
        moment: [H + 1, H + 1], their mean products.
        gain: [C, 1], what a squared error of an output counts.
        count: units that stay.
    Returns:
        Indices [count] of the units that stay in rising order, and the weights [C, H + 1], 0 for the others.
    """
    units = weight.shape[1] - 1
    damping = DAMPING * moment.diagonal().mean()
    inverse = torch.linalg.inv(moment + damping * torch.eye(units + 1, dtype=moment.dtype))
    weight, gone = weight.clone(), torch.zeros(units + 1, dtype=torch.bool)
    for _ in range(units - count):
        cost = (gain * weight.square()).sum(dim=0) / inverse.diagonal()
        cost[gone] = torch.inf
        unit = int(cost[:-1].argmin())
        row = inverse[unit] / inverse[unit, unit]
        weight -= weight[:, unit : unit + 1] * row
        inverse = inverse - inverse[:, unit : unit + 1] * row
        gone[unit] = True
        weight[:, gone] = 0.0
        # of what is gone nothing may come back by rounding
        inverse[gone], inverse[:, gone] = 0.0, 0.0
        inverse[gone, gone] = 1.0
    return torch.nonzero(~gone[:-1]).flatten(), weight


def _linear(weight: Tensor, bias: Tensor) -> torch.nn.Linear:
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def narrow_base(base: Path, dataset: Path, expansion: int, *, version: str, output: Path) -> float:
    """Write a base whose generator has narrower hidden layers; the discriminator stays as it is.

    Args:
        base: folder of the base's files.
        dataset: the base's speakers, prepared with the encoder whose features it reads.
        expansion: width of the hidden layers as a multiple of the channels, less than the base's.
        version: recorded in the files.
        output: folder for both files.
    Returns:
        What narrow returns.
    Raises:
        ConfigError: if dataset, base and width do not belong together.
    """
    files = {name: f"lite_base_{name}.safetensors" for name in ("generator", "discriminator")}
    metadata, tensors = read_weights(base / files["generator"])
    store = CorpusStore.open(dataset)
    have = str(store.info["features"]["content"]["identity"].get("weights_sha256", ""))
    if metadata[CONTENT_HASH] != have:
        raise ConfigError(f"{base / files['generator']} does not read the content features of {dataset}")
    voice = _generator(tensors, store)
    wide = voice.blocks[0].expand.out_features // voice.blocks[0].project.out_features  # type: ignore[union-attr, operator]
    if not 0 < expansion < wide:
        raise ConfigError(f"--narrow {expansion}: the base has {wide}; give less, at least 1")
    lost = narrow(voice, itertools.islice(_batches(dataset), NUM_BATCHES), expansion)
    save_weights(output / files["generator"], voice.state_dict(), metadata | {"version": version})
    metadata, tensors = read_weights(base / files["discriminator"])
    save_weights(output / files["discriminator"], tensors, metadata | {"version": version})
    return lost


def _batches(dataset: Path) -> Iterable[VoiceBatch]:
    data = VoiceDataModule(
        dataset=dataset, batch_size=12, segment_frames=FRAME_RATE, num_workers=0, seed=0, perturbed_share=0.5,
        val_segment_frames=FRAME_RATE,
    )  # fmt: skip
    return data.train_dataloader()


def _generator(tensors: dict[str, Tensor], store: CorpusStore) -> LiteVoice:
    """Build the network that a base's tensors belong to."""
    speakers, speaker_dim = tensors["speaker.weight"].shape
    if speakers != len(store.speakers):
        raise ConfigError(f"the base has {speakers} speaker(s), {store.path} has {len(store.speakers)}")
    hidden, channels = tensors["blocks.0.expand.weight"].shape
    voice = LiteVoice(
        sample_rate=store.audio.sample_rate,
        n_fft=store.audio.n_fft,
        content_dim=tensors["content_in.weight"].shape[1],
        num_speakers=speakers,
        channels=channels,
        num_blocks=sum(name.endswith("expand.bias") for name in tensors),
        kernel_size=tensors["blocks.0.depthwise.weight"].shape[-1],
        expansion=hidden // channels,
        speaker_dim=speaker_dim,
    )
    voice.load_state_dict({name: value.float() for name, value in tensors.items()})
    return voice.eval()
