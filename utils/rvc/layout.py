"""Names, shapes and published settings of RVC's networks, as they stand in files.

Files name a normalised weight `weight_g` and `weight_v`; torch's parametrizations call the same two tensors
`parametrizations.weight.original0` and `original1`. Everything here speaks the names of files.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from utils.errors import FormatError
from utils.rvc.quoting import shown_name
from utils.rvc.sovits import SovitsOptions, is_sovits, sovits_options
from utils.rvc.vits import VitsOptions, is_vits, vits_options
from utils.rvc.vocoders import DECODERS, WEBUI_ORDER, Vocoder, vocoder_of

Role = Literal["generator", "discriminator"]
Order = Literal["rvc_webui", "applio"]
Shapes = Mapping[str, tuple[int, ...]]

PARAMETRIZED = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
SPEAKER_TABLE = "emb_g.weight"
POSTERIOR = "enc_q."
PARTS = ("enc_p", "dec", "enc_q", "flow", "emb_g")
VERSIONS = {256: "v1", 768: "v2"}  # by the size of a content vector
CONTENT_LAYERS = {"v1": 9, "v2": 12}  # of the content encoder; v1 through its final projection
PERIOD_COUNTS = {6: "sovits", 7: "v1", 9: "v2"}  # sub-discriminators, the one on the waveform included
V3_SIGN = ("discriminators.6.convs.0.weight_v", (3, 9))  # a spectrogram's, where v2 has another period
MODELS: dict[Vocoder, str] = {"MRF HiFi-GAN": "mrf", "RefineGAN": "refinegan"}  # in the names of our options
PUBLISHED_SPEAKERS = 109


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the public configurations of one version and rate say.

    Attributes:
        vocoder: kind of the decoder.
        upsample_rates: factor of each decoder stage; their product is the hop length.
        upsample_kernels: kernel of each stage; RefineGAN only states them.
        num_bins: bins of the linear spectrogram that the posterior reads.
    """

    version: str
    vocoder: Vocoder
    sample_rate: int
    upsample_rates: tuple[int, ...]
    upsample_kernels: tuple[int, ...]
    num_bins: int

    @property
    def name(self) -> str:
        """Return for example "v2 48k"."""
        return f"{self.version} {self.sample_rate // 1000}k" + f" {self.vocoder}" * (self.vocoder != "HiFi-GAN")

    @property
    def options(self) -> tuple[str, str]:
        """Return the options of the groups model and audio, such as rvc_v2_48k and rvc_48k."""
        rate = f"{self.sample_rate // 1000}k"
        return f"rvc_{MODELS.get(self.vocoder, self.version)}_{rate}", f"rvc_{rate}"

    @property
    def source_kernels(self) -> tuple[int, ...]:
        """Kernel of the convolution that brings the sine source to each stage: twice its stride, 1 at the last."""
        kernels, stride = [1], 1
        for rate in reversed(self.upsample_rates[1:]):
            stride *= rate
            kernels.insert(0, 2 * stride)
        return tuple(kernels)

    def config_list(self, shapes: Shapes) -> list[Any]:
        """Return the 18 values that stand under "config" in a shared voice with weights of these shapes."""
        decoder = DECODERS[self.vocoder]
        channels = shapes["enc_p.emb_phone.weight"][0]
        upsample_channels = decoder.first_share * shapes[decoder.first][0]
        block = "enc_p.encoder.ffn_layers.{}.conv_1.weight"
        filter_channels, _, kernel_size = shapes[block.format(0)]
        num_heads = channels // shapes["enc_p.encoder.attn_layers.0.emb_rel_k"][2]
        num_layers = len(_numbered(shapes, block, 3))
        kernels = [shapes[name][2] for name in _numbered(shapes, decoder.branches, 3)]
        if self.vocoder == "HiFi-GAN":  # numbered through all stages
            kernels = kernels[: len(kernels) // len(self.upsample_rates)]
        num_speakers, speaker_dim = shapes[SPEAKER_TABLE]
        # 32 is what the public programs write for every rate; nothing reads it at inference
        sizes = [self.num_bins, 32, channels, channels, filter_channels, num_heads, num_layers, kernel_size, 0, "1"]
        stages = [list(self.upsample_rates), upsample_channels, list(self.upsample_kernels)]
        return [*sizes, kernels, [[1, 3, 5]] * len(kernels), *stages, num_speakers, speaker_dim, self.sample_rate]


def _published(version: str, rate: int, factors: tuple[int, ...], kernels: tuple[int, ...], bins: int) -> Published:
    return Published(
        version=version,
        vocoder="HiFi-GAN",
        sample_rate=rate,
        upsample_rates=factors,
        upsample_kernels=kernels,
        num_bins=bins,
    )


V1 = (
    _published("v1", 32000, (10, 4, 2, 2, 2), (16, 16, 4, 4, 4), 513),
    _published("v1", 40000, (10, 10, 2, 2), (16, 16, 4, 4), 1025),
    _published("v1", 48000, (10, 6, 2, 2, 2), (16, 16, 4, 4, 4), 1025),
)
V2 = (
    _published("v2", 24000, (10, 6, 2, 2), (20, 12, 4, 4), 513),  # Applio's alone
    _published("v2", 32000, (10, 8, 2, 2), (20, 16, 4, 4), 513),
    _published("v2", 40000, (10, 10, 2, 2), (16, 16, 4, 4), 1025),
    _published("v2", 48000, (12, 10, 2, 2), (24, 20, 4, 4), 1025),
)
PUBLISHED = (*V1, *V2, *(replace(item, vocoder=vocoder) for vocoder in MODELS for item in V2))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a set of names and shapes is.

    Attributes:
        version: "v1", "v2", of a discriminator also "v3" or "sovits", or None when it is neither; of a generator of
            So-VITS-SVC that of RVC which has the same content.
        vocoder: kind of the decoder; None in a discriminator.
        fits: the published settings that its shapes agree with; without posterior and f0 more than one may remain.
        has_f0: whether a pitch is read.
        has_posterior: whether the network's training part is there.
        num_speakers: rows of the speaker table; 0 in a discriminator.
        content_dim: size of a content vector; 0 in a discriminator.
        sovits: what a generator of So-VITS-SVC is; None for another.
        vits: what VITS as a voice converter is; None for another.
    """

    role: Role
    version: str | None
    vocoder: Vocoder | None = None
    fits: tuple[Published, ...] = ()
    has_f0: bool = False
    has_posterior: bool = False
    num_speakers: int = 0
    content_dim: int = 0
    sovits: SovitsOptions | None = None
    vits: VitsOptions | None = None

    @property
    def is_rvc(self) -> bool:
        """Whether it is a network of RVC or Applio, and so of no other program."""
        return self.sovits is None and self.vits is None and self.version != "sovits"

    def __str__(self) -> str:
        if self.vits is not None:
            return f"generator of VITS for {self.num_speakers} speakers"
        if self.sovits is not None:
            return f"generator of So-VITS-SVC for content of {self.content_dim} values ({self.sovits})"
        kind = " or ".join(item.name for item in self.fits) or (self.version or "of no published size")
        if self.role == "discriminator":
            return f"discriminator {kind}"
        return f"generator {kind} {'with' if self.has_f0 else 'without'} f0"


def legacy_name(name: str) -> str:
    """Return the name of a parameter in files."""
    for ours, theirs in PARAMETRIZED.items():
        if name.endswith(ours):
            return name.removesuffix(ours) + theirs
    return name


def legacy_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under the names of files."""
    return {legacy_name(name): value for name, value in state.items()}


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor."""
    return {name: tuple(value.shape) for name, value in state.items()}


def is_rvc(names: Iterable[str]) -> bool:
    """Whether the names are those of RVC's generator or discriminator."""
    everything = set(names)
    heads = {name.split(".")[0] for name in everything}
    is_other = is_sovits(everything) or is_vits(everything)
    return heads == {"discriminators"} or ({"enc_p", "dec", "flow", "emb_g"} <= heads and not is_other)


def layout_of(shapes: Shapes) -> Layout:
    """Recognise a network by names and shapes.

    Raises:
        FormatError: if it is not one of RVC's networks, or has another decoder than the published one.
    """
    heads = {name.split(".")[0] for name in shapes}
    if heads == {"discriminators"}:
        count = len({name.split(".")[1] for name in shapes if "." in name})
        name, kernel = V3_SIGN
        version = "v3" if shapes.get(name, ())[2:] == kernel else PERIOD_COUNTS.get(count)
        return Layout(role="discriminator", version=version)
    if is_sovits(shapes):
        options = sovits_options(shapes)
        num_speakers, content_dim = shapes[SPEAKER_TABLE][0], shapes["pre.weight"][1]
        return Layout(
            role="generator", version=VERSIONS.get(content_dim), has_f0=True, has_posterior=_has(shapes, POSTERIOR),
            num_speakers=num_speakers, content_dim=content_dim, sovits=options,
        )  # fmt: skip
    if is_vits(shapes):
        return Layout(
            role="generator", version=None, has_posterior=True, num_speakers=shapes.get(SPEAKER_TABLE, (1,))[0],
            vits=vits_options(shapes),
        )  # fmt: skip
    vocoder = vocoder_of(shapes)
    if vocoder is None and _has(shapes, "dec."):
        known = {part for decoder in DECODERS.values() for part in decoder.order}
        parts = {name.split(".")[1] for name in shapes if name.startswith("dec.")}
        strange = sorted(parts - known) or sorted(parts)
        raise FormatError(
            f"its decoder is none of {', '.join(DECODERS)} (it has {shown_name(f'dec.{strange[0]}')}); "
            "other vocoders are not read"
        )
    decoder = DECODERS[vocoder or "HiFi-GAN"]
    needed = ["enc_p.emb_phone.weight", SPEAKER_TABLE, decoder.first, "flow.flows.0.pre.weight"]
    kernels = tuple(shapes[name][2] for name in _numbered(shapes, decoder.stages or "", 3))
    missing = [name for name in needed if len(shapes.get(name, ())) < 2]
    missing += [decoder.sign.removesuffix(".")] * (decoder.stages is not None and not kernels)
    if missing:
        raise FormatError(f"keys of RVC's generator are missing: {', '.join(missing)}")
    content_dim = shapes["enc_p.emb_phone.weight"][1]
    version = VERSIONS.get(content_dim)
    has_f0 = _has(shapes, "enc_p.emb_pitch.") or _has(shapes, "dec.noise_convs.")
    source = tuple(shapes[name][2] for name in _numbered(shapes, "dec.noise_convs.{}.weight", 3))
    bins = (*shapes.get(POSTERIOR + "pre.weight", ()), 0, 0)[1]
    fits = tuple(
        item
        for item in PUBLISHED
        if (item.version, item.vocoder) == (version, vocoder)
        and kernels in ((), item.upsample_kernels)
        and source in ((), item.source_kernels)
        and bins in (0, item.num_bins)
    )
    return Layout(
        role="generator", version=version, vocoder=vocoder, fits=fits,
        has_f0=has_f0, has_posterior=_has(shapes, POSTERIOR),
        num_speakers=shapes[SPEAKER_TABLE][0], content_dim=content_dim,
    )  # fmt: skip


def published_order(names: Iterable[str], order: Order) -> list[str]:
    """Sort names as a program's own network registers its parameters, which numbers its optimizer's state.

    Both programs have the same names; in the decoder, RVC-WebUI registers the source's convolutions before the stages
    and Applio after them. Discriminators are the same in both.
    """
    everything = list(names)
    vocoder = vocoder_of(everything) or "HiFi-GAN"
    is_webui = order == "rvc_webui" and vocoder == "HiFi-GAN"
    decoder = WEBUI_ORDER if is_webui else DECODERS[vocoder].order
    ranks = [
        *PARTS, "convs", *decoder,
        "emb_phone", "emb_pitch", "encoder", "pre", "enc", "proj", "post",
        "attn_layers", "norm_layers_1", "ffn_layers", "norm_layers_2", "in_layers", "res_skip_layers", "cond_layer",
        "emb_rel_k", "emb_rel_v", "conv_q", "conv_k", "conv_v", "conv_o", "conv_1", "conv_2", "convs1", "convs2",
        "gamma", "beta",
    ]  # fmt: skip
    normalised = {name.removesuffix("weight_g") for name in everything if name.endswith("weight_g")}
    plain, after_norm = ("weight", "bias"), ("bias", "weight_g", "weight_v")

    def key(name: str) -> list[int]:
        head, _, leaf = name.rpartition(".")
        leaves = after_norm if f"{head}." in normalised else plain
        numbers = [int(part) if part.isdigit() else _rank(ranks, part) for part in head.split(".")]
        return [*numbers, leaves.index(leaf) if leaf in leaves else _rank(ranks, leaf)]

    return sorted(everything, key=key)


def _rank(ranks: list[str], part: str) -> int:
    return ranks.index(part) if part in ranks else len(ranks)


def _has(shapes: Shapes, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in shapes)


def _numbered(shapes: Shapes, pattern: str, num_axes: int) -> list[str]:
    """Return the names of a numbered pattern in the order of their numbers; others of its kind do not count."""
    found = sorted(
        int(match[1])
        for name in shapes
        if (match := re.fullmatch(re.escape(pattern).replace(r"\{\}", r"(0|[1-9][0-9]{0,3})"), name))
        and len(shapes[name]) == num_axes
    )
    return [pattern.format(index) for index in found]
