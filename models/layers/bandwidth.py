"""The weights of a filter head for another sample rate: the same bins below, new ones above."""

import math

import torch
from torch import Tensor

WINDOWS_A_SECOND = 25  # of the audio groups: n_fft is the rate over this, so that bins lie 25 Hz apart
TOP_SHARE = 8  # new bins begin as the mean of this part (an eighth) of those below them, the highest


def fit_bins(weights: dict[str, Tensor], projection: str, num_bins: int) -> str:
    """Give the projection of a FilterHead another number of bins, see with_bins; do nothing where it has that number.

    Args:
        weights: tensors by name, changed in place.
        projection: name of the projection.
        num_bins: wanted.
    Returns:
        What was done, for a line of the log; empty where nothing was.
    """
    names = (f"{projection}.weight", f"{projection}.bias")
    rows = len(weights[names[1]]) if set(names) <= set(weights) else 3 * num_bins
    if rows == 3 * num_bins or rows % 3 or rows < 6:
        return ""
    weights.update(zip(names, with_bins(weights[names[0]], weights[names[1]], num_bins), strict=True))
    return f"; its {rows // 3} frequency bins became {num_bins}"


def with_bins(weight: Tensor, bias: Tensor, num_bins: int) -> tuple[Tensor, Tensor]:
    """Return a FilterHead's projection for another number of bins that lie equally far apart.

    The window lasts as long at all rates (40 ms), so a bin has the same frequency. Pulses and noise have unit power
    over all of their band: in a band r times as wide each bin has 1 / r of it, and the gains rise by sqrt(r).

    Args:
        weight: [3 N, C], of pulses' gain, their phase and noise's gain, N bins each.
        bias: [3 N].
        num_bins: N', wanted.
    Returns:
        [3 N', C] and [3 N'].
    """
    # the highest bin is half a band, at the end of what the recordings held: it is no pattern for others
    below = weight.shape[0] // 3 - 1
    rows = torch.cat([weight, bias.unsqueeze(1)], dim=1).unflatten(0, (3, below + 1))[:, :below]
    if num_bins > below:
        top = rows[:, below - max(1, below // TOP_SHARE) :].mean(dim=1, keepdim=True)
        rows = torch.cat([rows, top.expand(-1, num_bins - below, -1)], dim=1)
    rows = rows[:, :num_bins].clone()
    rows[[0, 2], :, -1] += 0.5 * math.log((num_bins - 1) / below)
    made = rows.flatten(0, 1)
    return made[:, :-1].contiguous(), made[:, -1].contiguous()
