"""The light voice for exported graphs: convolutions of images one pixel high, and sums that are made beforehand."""

import math

import torch
from torch import Tensor, nn

from models.layers.convnext import ConvNeXtBlock
from models.layers.held_ends import with_held_ends, without_held_ends
from models.layers.image import apply_linear, convolve, convolve_each, from_image, to_image
from models.layers.source_filter import Filters
from models.layers.stream_memory import Memory
from models.lite import LiteVoice, scaled_loudness
from models.streams.causal import convolve_rows, convolve_rows_together
from models.streams.lite import LiteStream, input_layers, read_side_by_side
from utils.audio.graph_form import in_graph_parts

# of the tanh form of GELU, written with the logistic function: x * sigmoid(x * (linear + cubic * x^2))
GELU_LINEAR = 2 * math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715 * GELU_LINEAR
IMAGE_CHANNELS = 16  # a multiple of these lets onnxruntime take its fast convolution


class LiteInGraph(nn.Module):
    """LiteVoice in few operators.

    Args:
        voice: whose weights are used.
    """

    def __init__(self, voice: LiteVoice) -> None:
        super().__init__()
        self.voice = in_graph_parts(voice)
        self.num_speakers, self.use_f0 = voice.num_speakers, voice.use_f0

    def inference(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Tensor:
        """Generate audio [B, F * hop] from content [B, F, D], f0_hz [B, F], loudness_db [B, F], speaker_id [B]."""
        if self.voice.closed_ends:
            held = with_held_ends(content), with_held_ends(f0_hz), with_held_ends(loudness_db)
            filters = Filters(*map(without_held_ends, self._predict_filters(*held, speaker_id)))
        else:
            filters = self._predict_filters(content, f0_hz, loudness_db, speaker_id)
        audio: Tensor = self.voice.synthesis(filters, f0_hz)
        return audio

    def _predict_filters(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Filters:
        voice = self.voice
        x = self._read(content, f0_hz, scaled_loudness(loudness_db).unsqueeze(1))
        now, *later = speaker_and_biases(voice)[:, None, None][speaker_id].split(x.shape[-1], dim=-1)
        x = x + now
        for block, behind in zip(voice.convnext_blocks, later, strict=True):
            x = x + block_product(block, x) + behind
        made = from_image(apply_linear(voice.head.project, to_image(voice.norm(x)))).squeeze(1)
        return Filters(*made.split(voice.head.num_bins, dim=-1))

    def _read(self, content: Tensor, f0_hz: Tensor, loudness: Tensor) -> Tensor:
        """Return what comes in, [B, 1, F, C], by one convolution of all of it."""
        voice = self.voice
        inputs = (voice.content_in, voice.loudness_in, voice.pitch_embedding.project)
        spare = -sum(layer.in_channels for layer in inputs) % IMAGE_CHANNELS
        channels, _, taps = voice.content_in.weight.shape
        nothing = torch.zeros(channels, spare, taps, device=content.device)
        weight = torch.cat([*(layer.weight for layer in inputs), *([nothing] if spare else [])], dim=1)
        first, *others = (layer.bias for layer in inputs)
        assert first is not None
        bias = sum((other for other in others if other is not None), first)
        level = loudness.transpose(1, 2)
        read = [content, level, voice.pitch_embedding.waves(f0_hz), *[level] * spare]
        image = to_image(torch.cat(read, dim=-1).unsqueeze(1))
        return from_image(convolve(image, weight, bias, padding=taps // 2))


class LiteStreamInGraph(LiteStream):
    """LiteStream in few operators, for one stream: rows of numbers in place of a batch."""

    def pieces(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor, memory: Memory) -> Tensor:
        """Generate the next pieces, see StreamForm."""
        voice, read = self.voice, read_side_by_side(self.voice, content, f0_hz, loudness_db)
        x = convolve_rows_together(input_layers(voice), read, memory, "inputs")
        now, *later = speaker_and_biases(voice)[speaker_id].split(x.shape[-1], dim=-1)
        x = x + now
        for index, (block, behind) in enumerate(zip(voice.convnext_blocks, later, strict=True)):
            x = added_rows(block, x, convolve_rows(block.depthwise, x, memory, f"block{index}")) + behind
        pieces: Tensor = self.synthesis(voice.head(voice.norm(x)), f0_hz, memory)
        return pieces

    def graph_form(self) -> nn.Module:
        """Return this form."""
        return self


def speaker_and_biases(voice: LiteVoice) -> Tensor:
    """Return [S, (blocks + 1) * C], a constant of a graph: what is added to the frames before and behind the blocks.

    Before each block that is what the speaker adds, behind each the bias of its last layer; what stands between two
    blocks is one sum.
    """
    biases = [torch.zeros_like(voice.norm.bias), *(block.scaled_projection()[1] for block in voice.convnext_blocks)]
    sums = [layer(voice.speaker.weight) + before for layer, before in zip(voice.speaker_in, biases[:-1], strict=True)]
    return torch.cat([*sums, biases[-1].expand_as(sums[0])], dim=1)


def block_product(block: ConvNeXtBlock, x: Tensor) -> Tensor:
    """Return what the block adds to its input but for the bias of its last layer, of and as [B, 1, F, C]."""
    layer = block.depthwise
    mixed = convolve_each(to_image(x), layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)
    hidden = apply_linear(block.expand, to_image(block.norm(from_image(mixed))))
    # GELU_LINEAR + GELU_CUBIC * hidden^2, in an operator that keeps the runtime's layout of images
    ones = torch.ones_like(block.expand.bias)
    slope = convolve_each(hidden.square(), GELU_CUBIC * ones[:, None, None], GELU_LINEAR * ones)
    hidden = hidden * torch.sigmoid(hidden * slope)
    return from_image(convolve(hidden, block.scaled_projection()[0].unsqueeze(2)))


def added_rows(block: ConvNeXtBlock, x: Tensor, mixed: Tensor) -> Tensor:
    """Return [F, C] plus what the block's branch makes of [F, C], but for the bias of its last layer."""
    hidden = block.expand(block.norm(mixed))
    # of GELU's tanh form, in the order of operators that onnxruntime makes one of
    inner = hidden * (GELU_LINEAR / 2) * (1 + 0.044715 * hidden * hidden)
    return torch.addmm(x, hidden * 0.5 * (1 + torch.tanh(inner)), block.scaled_projection()[0].T)
