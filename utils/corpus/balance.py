"""How often each speaker is chosen in training."""

from collections.abc import Mapping, Sequence

import numpy as np

from utils.errors import ConfigError

SpeakerWeights = str | float | Mapping[str, float]
ALLOWED = "natural, uniform, a number from 0 (uniform) to 1 (natural), or factors such as {anna: 2, bert: 0.5}"


def speaker_factors(amounts: np.ndarray, speakers: Sequence[str], weights: SpeakerWeights) -> np.ndarray:
    """Return a factor per speaker by which the chance of each of their clips is multiplied.

    Args:
        amounts: [S] amount of training audio of each speaker; 0 for one who is only held out.
        speakers: [S] names.
        weights: "natural": by the amount of audio; "uniform": each speaker alike; a number t: by amount ** t, between
            the two; a mapping: natural, times a factor for the speakers it names.
    Returns:
        [S] float64; natural weights give ones.
    Raises:
        ConfigError: if the weights are none of these, name a speaker who is not there, or leave nobody.
    """
    if isinstance(weights, Mapping):
        factors = _named(speakers, weights)
    else:
        exponent = {"natural": 1.0, "uniform": 0.0}.get(weights, weights) if isinstance(weights, str) else weights
        if isinstance(exponent, bool | str) or exponent is None or not 0 <= exponent <= 1:
            raise ConfigError(f"data.speaker_weights={weights} is unknown; allowed: {ALLOWED}")
        present = np.maximum(amounts, 1).astype(np.float64)
        factors = present ** (exponent - 1.0)
    if not (factors * amounts).any():
        raise ConfigError(f"data.speaker_weights={weights} leaves no speaker to train on")
    return factors


def _named(speakers: Sequence[str], weights: Mapping[str, float]) -> np.ndarray:
    unknown = sorted(set(weights) - set(speakers))
    if unknown:
        shown = ", ".join(speakers[:10]) + (f" and {len(speakers) - 10} more" if len(speakers) > 10 else "")
        raise ConfigError(f"data.speaker_weights names {', '.join(unknown)}; the dataset has: {shown}")
    for name, factor in weights.items():
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor < float("inf"):
            raise ConfigError(f"data.speaker_weights.{name}={factor} must be a number, 0 or more")
    return np.array([float(weights.get(name, 1.0)) for name in speakers])
