"""RVC in the operators that runtimes run fast, and its generator as programs use it that have features of their own."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from models.applio import RefineGanModel
from models.layers.relative_attention import BLOCK_FRAMES, collect, score
from models.layers.rvc_decoder import StagedDecoder
from models.layers.rvc_encoders import PriorEncoder, RelativeAttention, RelativeTransformer, masked
from models.layers.weight_norm import as_line
from models.rvc import RVCModel
from utils.audio.graph_form import graph_form, with_parts


def rvc_in_graph(voice: RVCModel) -> RVCModel:
    """Return a copy that shares the weights, with the decoder over lines and the attention as a loop."""
    return with_parts(voice, enc_p=prior_in_graph(voice.enc_p), dec=LineDecoder(cast(StagedDecoder, voice.dec)))


def refinegan_in_graph(voice: RefineGanModel) -> RefineGanModel:
    """Return a copy that shares the weights, with the attention as a loop and interpolation as multiplication."""
    return with_parts(voice, enc_p=prior_in_graph(voice.enc_p), dec=graph_form(voice.dec))


def prior_in_graph(prior: PriorEncoder) -> PriorEncoder:
    """Return a copy that shares the weights, with the attention as a loop."""
    return with_parts(prior, encoder=looped(prior.encoder))


def looped(transformer: RelativeTransformer) -> RelativeTransformer:
    """Return a copy that shares the weights, with the attention as a loop."""
    loops = nn.ModuleList(LoopedAttention(cast(RelativeAttention, layer)) for layer in transformer.attn_layers)
    return with_parts(transformer, attn_layers=loops)


class LineDecoder(nn.Module):
    """StagedDecoder over images one pixel high, for which runtimes know faster ways than for rows of samples.

    Args:
        decoder: whose weights are used.
    """

    def __init__(self, decoder: StagedDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latent: Tensor, f0_hz: Tensor, speaker: Tensor, noise: Tensor) -> Tensor:
        """Generate audio [B, F * hop]; see StagedDecoder."""
        return self.decode(latent, speaker, self.source(f0_hz, noise))

    def source(self, f0_hz: Tensor, noise: Tensor) -> Tensor | None:
        """Return the source [B, 1, F * hop], None for a decoder without one."""
        return self.decoder.source(f0_hz, noise)

    def decode(self, latent: Tensor, speaker: Tensor, source: Tensor | None) -> Tensor:
        """Generate audio [B, F * hop] of a latent [B, C, F], a speaker [B, E, 1] and the source."""
        decoder = self.decoder
        x = as_line(decoder.conv_pre(latent) + decoder.cond(speaker))
        for index in range(decoder.num_stages):
            x = decoder.stage(index, x, source)
        return torch.tanh(decoder.conv_post(decoder.activate_last(x.squeeze(2)))).squeeze(1)


class LoopedAttention(nn.Module):
    """RelativeAttention as a Loop of the graph, whose length is not fixed by the trace.

    Args:
        layer: whose weights are used.
    """

    def __init__(self, layer: RelativeAttention) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return [B, C, F] from [B, C, F]."""
        layer = self.layer
        if mask is not None:  # of programs that give short pieces
            padded: Tensor = layer(x, mask)
            return padded
        query, key, value = layer.split_heads(x)
        query = query / math.sqrt(query.shape[3])
        # only a script's loop is a loop in a traced graph
        result: Tensor = _script()(query, key, value, layer.emb_rel_k, layer.emb_rel_v, BLOCK_FRAMES)
        made: Tensor = layer.conv_o(result.transpose(2, 3).reshape(x.shape))
        return made


def attend_in_a_loop(
    query: Tensor, key: Tensor, value: Tensor, near_key: Tensor, near_value: Tensor, block: int
) -> Tensor:
    """Do what relative_attention.attend does without padding, in words that a script knows; the query is scaled."""
    result = query[:, :, :0]
    for index in range((query.size(2) + block - 1) // block):
        start = index * block
        scores = score(query[:, :, start : start + block], key, near_key, start)
        result = torch.cat([result, collect(scores, value, near_value, start)], dim=2)
    return result


@cache
def _script() -> Any:
    return torch.jit.script(attend_in_a_loop)


class Window(NamedTuple):
    """Which frames are returned: `num_frames` from `first` on, stretched to `length`; scalars, int64."""

    first: Tensor
    num_frames: Tensor
    length: Tensor


class FeatureDecoder(nn.Module):
    """Audio from what programs compute that have an encoder and a pitch tracker of their own.

    Args:
        voice: the generator, or its form for graphs.
    """

    def __init__(self, voice: RVCModel) -> None:
        super().__init__()
        self.voice = voice

    def forward(
        self,
        content: Tensor,
        num_frames: Tensor,
        pitch: tuple[Tensor, Tensor] | None,
        speaker_id: Tensor,
        *,
        prior_noise: Tensor | None = None,
        window: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Generate audio.

        Args:
            content: [B, F, D].
            num_frames: [B] int64; later frames count as padding.
            pitch: bins [B, F] int64 and f0_hz [B, F]; None for a voice without f0.
            speaker_id: [B] int64.
            prior_noise: [B, C, F]; None means that of every other conversion.
            window: first frame, number of frames and length as in Window; None returns all.
        Returns:
            [B, F * hop], or [B, length * hop] of the window.
        """
        voice, like = self.voice, content[:, :, 0]
        coarse, f0_hz = pitch if pitch is not None else (None, torch.zeros_like(like))
        number = torch.cumsum(torch.ones_like(like, dtype=torch.int64), dim=1) - 1
        mask = (number < num_frames.unsqueeze(1)).unsqueeze(1).to(torch.float32)
        speaker = voice.emb_g(speaker_id).unsqueeze(-1)
        prior = voice.enc_p(content, f0_hz, mask, coarse)
        noise = prior_noise if prior_noise is not None else voice.prior_noise(like)
        latent = masked(voice.flow.reverse(masked(prior.sample(noise), mask), speaker, mask), mask)
        if window is not None:
            return self._decode_window(latent, f0_hz, speaker, Window(*window))
        audio: Tensor = voice.dec(latent, f0_hz, speaker, voice.source_table(like))
        return audio

    def _decode_window(self, latent: Tensor, f0_hz: Tensor, speaker: Tensor, window: Window) -> Tensor:
        """Return [B, length * hop]; a stretch of latent and source moves the formants and keeps the pitch."""
        voice = self.voice
        kept = window.first + counted(window.num_frames)
        latent, f0_hz = latent[:, :, kept], f0_hz[:, kept]
        source = voice.dec.source(f0_hz, voice.source_table(f0_hz))
        latent = stretched(latent, window.length)
        source = stretched(source, window.length * voice.hop_length) if source is not None else None
        return voice.dec.decode(latent, speaker, source)


def counted(length: Tensor) -> Tensor:
    """Return 0, 1, .. length - 1 for a scalar int64, which stays free in a traced graph."""
    numbers: Tensor = torch.arange(length, device=length.device)  # type: ignore[call-overload]
    return numbers


def stretched(x: Tensor, length: Tensor) -> Tensor:
    """Interpolate [B, C, T] linearly to `length` samples (scalar int64) between the centres of samples."""
    steps = counted(length).double()
    count = torch.ones_like(x[0, 0]).sum().double()  # the length as a tensor: a traced graph must not fix it
    position = ((steps + 0.5) * count / length.double() - 0.5).clamp(min=0.0)
    before = torch.floor(position)
    share = (position - before).to(x.dtype)
    first = before.to(torch.int64)
    second = torch.minimum(first + 1, count.to(torch.int64) - 1)
    return x[:, :, first] * (1.0 - share) + x[:, :, second] * share
