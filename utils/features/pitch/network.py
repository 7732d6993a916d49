"""The network of the pitch tracker: SwiftF0's layers, with as many channels as its weights have."""

from collections.abc import Mapping

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

NUM_CANDIDATES = 96
NUM_FREQUENCIES = 128
# of each residual layer, along frequency
DILATIONS = (1, 1, 1, 17, 17, 27, 27, 40, 40, 48, 48, 2, 2)
NUM_LAYERS = 18
BLOCK_STARTS = range(1, len(DILATIONS), 2)
LAST_BLOCK = 11  # from here on only the candidates count, and the frequencies that each convolution reaches above them
LAST_REACH = 6
WIDE = 16  # channels of images that onnxruntime computes at once
READER, HINT, SCORE, VOICE, VOICING = range(13, NUM_LAYERS)  # what reads the last block


class PitchNetwork(nn.Module):
    """Scores of pitch candidates and voicing from three spectrograms on an axis of 128 log-spaced frequencies.

    Architecture: Nieradzik, "SwiftF0" (2025).

    Args:
        weights: weight_0, bias_0 to weight_17, bias_17.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, value in weights.items():
            # buffers, as an export in fewer bits leaves them alone; persistent would be a part of every voice's state
            self.register_buffer(name, value.detach().float().clone(), persistent=False)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights by name."""
        return dict(self.named_buffers(recurse=False))

    def forward(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        """Return candidate scores [B, F, 95] and the logarithmic odds of voicing [B, F] from [B, 3, 128, F]."""
        # a quarter faster on a CPU than with the channels outermost
        x = self.convolve(spectra.contiguous(memory_format=torch.channels_last), 0).relu_()
        for first in BLOCK_STARTS:
            is_last = first == LAST_BLOCK
            residual = x[:, :, : NUM_CANDIDATES + 2 * LAST_REACH] if is_last else x
            x = self.convolve(residual, first).relu_()
            x = x[:, :, : NUM_CANDIDATES + LAST_REACH] if is_last else x
            x = self.convolve(x, first + 1)
            kept = residual[:, :, :NUM_CANDIDATES] if is_last else residual
            x = x[:, :, :NUM_CANDIDATES] if is_last else x
            x = x.add_(kept).relu_()
        x = functional.pad(x, (1, 1, 1, 0))
        x = functional.relu(self.convolve(x, READER))
        hint, scores = hint_and_scores(x, self.layer(HINT), self.layer(SCORE))
        mean = spectra.mean(dim=(1, 2), keepdim=False).unsqueeze(1)
        voice = torch.cat([hint.amax(dim=2), mean], dim=1)
        voice = functional.relu(functional.conv1d(voice, *self.layer(VOICE), padding=1))
        voicing = functional.conv1d(voice, *self.layer(VOICING)).squeeze(1)
        return scores.squeeze(1).transpose(1, 2), voicing

    def convolve(self, x: Tensor, index: int) -> Tensor:
        """Return [B, out, N, F], what the convolution of that number makes of [B, in, N, F]."""
        weight, bias = self.layer(index)
        if index >= len(DILATIONS):
            return functional.conv2d(x, weight, bias)
        dilation = DILATIONS[index]
        padding = ((weight.shape[2] - 1) // 2 * dilation, (weight.shape[3] - 1) // 2)
        return functional.conv2d(x, weight, bias, padding=padding, dilation=(dilation, 1))

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Return weight and bias of a convolution."""
        return self.get_buffer(f"weight_{index}"), self.get_buffer(f"bias_{index}")


def hint_and_scores(
    x: Tensor, hint: tuple[Tensor, Tensor], score: tuple[Tensor, Tensor], *, frequency_axis: int = 2
) -> tuple[Tensor, Tensor]:
    """Return what two convolutions along frequency, the second of one frequency, make of x, as one.

    Args:
        x: [B, C, 95, F], or [B, C, F, 95].
        hint: weight and bias of the first one.
        score: those of the second one.
        frequency_axis: of x.
    """
    (hint_weight, hint_bias), (score_weight, score_bias) = hint, score
    reach = hint_weight.shape[2] // 2
    beside = torch.zeros_like(hint_weight[: len(score_weight), :, :reach])
    weight = torch.cat([hint_weight, torch.cat([beside, score_weight, beside], dim=2)])
    outputs, inputs, height, width = map(int, weight.shape)
    weight = torch.cat([weight, weight.new_zeros(outputs, int(x.shape[1]) - inputs, height, width)], dim=1)
    is_last = frequency_axis == 3
    weight, padding = (weight.transpose(2, 3), (0, reach)) if is_last else (weight, (reach, 0))
    made = functional.conv2d(x, weight, torch.cat([hint_bias, score_bias]), padding=padding)
    split: tuple[Tensor, Tensor] = made.split([len(hint_bias), len(score_bias)], dim=1)
    return split


def widened(weight: Tensor, bias: Tensor, *, is_first: bool = False) -> tuple[Tensor, Tensor]:
    """Return a convolution with empty channels, so many that onnxruntime passes on its own layout of images.

    Args:
        weight: [out, in, height, width], at most WIDE channels.
        bias: [out].
        is_first: whether it reads what is not widened.
    """
    missing = WIDE - len(bias)
    weight = torch.cat([weight, weight.new_zeros(missing, *map(int, weight.shape[1:]))])
    if not is_first:
        sizes = list(map(int, weight.shape))
        weight = torch.cat([weight, weight.new_zeros(WIDE, WIDE - sizes[1], *sizes[2:])], dim=1)
    return weight, torch.cat([bias, bias.new_zeros(missing)])
