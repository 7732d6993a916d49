"""How the decoders of a shared voice are told apart and described by the names of their parameters."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Vocoder = Literal["HiFi-GAN", "MRF HiFi-GAN", "RefineGAN"]  # as Applio's files name it


@dataclass(frozen=True, kw_only=True)
class DecoderNames:
    """Names of a decoder's parameters.

    Attributes:
        sign: beginning of names that no other decoder has.
        first: weight with as many rows as the widest stage has channels, or `first_share` of them.
        stages: weights of the stages, whose kernels tell the rates apart; None where stages have no kernels.
        branches: first convolutions of the residual blocks, of all stages or of the first alone.
        order: parts in the order in which Applio registers them.
    """

    sign: str
    first: str
    first_share: int = 1
    stages: str | None
    branches: str
    order: tuple[str, ...]


DECODERS: dict[Vocoder, DecoderNames] = {
    "HiFi-GAN": DecoderNames(
        sign="dec.ups.",
        first="dec.conv_pre.weight",
        stages="dec.ups.{}.weight_v",
        branches="dec.resblocks.{}.convs1.0.weight_v",
        order=("m_source", "conv_pre", "ups", "noise_convs", "resblocks", "conv_post", "cond"),
    ),
    "MRF HiFi-GAN": DecoderNames(
        sign="dec.mrfs.",
        first="dec.conv_pre.weight_v",
        stages="dec.upsamples.{}.weight_v",
        branches="dec.mrfs.0.{}.layers.0.conv1.weight_v",
        order=(
            "m_source", "conv_pre", "upsamples", "noise_convs", "mrfs", "layers", "conv1", "conv2", "conv_post", "cond",
        ),
    ),
    "RefineGAN": DecoderNames(
        sign="dec.upsample_conv_blocks.",
        first="dec.mel_conv.weight_v",
        first_share=2,
        stages=None,
        branches="dec.upsample_conv_blocks.0.blocks.{}.1.convs1.0.weight_v",
        order=(
            "m_source", "pre_conv", "downsample_blocks", "mel_conv", "cond", "upsample_conv_blocks", "input_conv",
            "blocks", "convs1", "convs2", "conv_post",
        ),
    ),
}  # fmt: skip
# of the decoder, in which alone the programs differ: RVC-WebUI registers the source's convolutions first
WEBUI_ORDER = ("m_source", "noise_convs", "conv_pre", "ups", "resblocks", "conv_post", "cond")


def vocoder_of(names: Iterable[str]) -> Vocoder | None:
    """Return the kind of decoder that has parameters of these names, None for an unknown one."""
    everything = list(names)
    signs = {vocoder: item.sign for vocoder, item in DECODERS.items()}
    return next((vocoder for vocoder, sign in signs.items() if any(name.startswith(sign) for name in everything)), None)


def known_vocoder(value: object) -> Vocoder | None:
    """Return the kind that a file's field `vocoder` names, None for an unknown one; HiFi-GAN has no need of a name."""
    if value in (None, "", "Default"):
        return "HiFi-GAN"
    return next((vocoder for vocoder in DECODERS if vocoder == value), None)
