"""The weights of recorded networks, which are a formula of their names, and how far two arrays are from each other."""

import math
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from utils.errors import FormatError

NUM_SPEAKERS = 109
SNAKE_BLOCKS, SNAKE_SHARE = "dec.resblocks.", 0.3  # else that decoder saturates and amplifies rounding
Arrays = Mapping[str, np.ndarray]


def published_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that the recorded networks have, for names and shapes as published.

    Tensors that share their memory get the values of the last of their names, and filters stay as they are.
    """
    has_snakes = any(key.startswith("dec.snakes.") for key in state)
    last_name = {value.data_ptr(): key for key, value in state.items()}
    weights = {}
    for key, value in state.items():
        if key.endswith(".filter"):
            weights[key] = value
            continue
        values = _values(last_name[value.data_ptr()], tuple(value.shape))
        if has_snakes and key.startswith(SNAKE_BLOCKS) and key.endswith("weight_g"):
            values = SNAKE_SHARE * values
        weights[key] = torch.from_numpy(values.astype(np.float32))
    return weights


def _values(key: str, shape: tuple[int, ...]) -> np.ndarray:
    values = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(size=shape)
    if key.endswith(("weight_g", ".gamma")):
        return 1 + 0.1 * values
    if key.endswith((".bias", ".beta")):
        return 0.02 * values
    if key.startswith("emb_g") or "emb_pitch" in key:
        return 0.3 * values
    if key.endswith(".alpha"):
        return -0.5 + 0.1 * values
    return values / math.sqrt(math.prod(shape[1:]))


def fill_published(network: nn.Module) -> nn.Module:
    """Give a network the recorded weights and put it in evaluation mode."""
    network.load_state_dict(published_weights(network.state_dict()))
    return network.eval()


def relative_error(found: Tensor, expected: np.ndarray, stride: int = 1) -> float:
    """Return max |found - expected| / max |expected|; infinite if shapes differ, NaN if a value is.

    Args:
        found: the array made here; leading axes of length 1 do not count.
        expected: the recorded one.
        stride: more than 1 if `expected` holds every stride-th value of the flattened array.
    """
    ours = found.detach().double().numpy()
    ours = ours.ravel()[::stride] if stride > 1 else ours
    theirs = expected.astype(np.float64)
    if ours.squeeze().shape != theirs.squeeze().shape:
        return math.inf
    return float(np.abs(ours.squeeze() - theirs.squeeze()).max() / np.abs(theirs).max())


def errors_of(found: Mapping[str, Tensor], arrays: Arrays, inputs: set[str]) -> Iterator[tuple[str, float]]:
    """Yield (array, relative error) of everything that was made; NaN for what a file lacks.

    Raises:
        FormatError: if the file holds other arrays.
    """
    unknown = sorted(set(arrays) - set(found) - inputs - {"stride"})
    if unknown:
        raise FormatError(f"arrays {', '.join(unknown)} are none that this network makes")
    stride = int(arrays["stride"]) if "stride" in arrays else 1
    for name, value in found.items():
        yield name, relative_error(value, arrays[name], stride) if name in arrays else math.nan
