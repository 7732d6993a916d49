"""Which recordings go through the graph together: a graphics card takes several as fast as one."""

from collections.abc import Sequence

import numpy as np

from utils.inference.options import ConversionOptions


def batches(
    audios: Sequence[np.ndarray], rates: Sequence[int], options: ConversionOptions, *, most: int, longest_seconds: float
) -> list[list[int]]:
    """Return the numbers of the recordings that are converted together.

    Together go at most `most` of one length, rate and type, each a row of numbers that needs no cut; alone goes what
    has channels or is broken, and everything where each recording has a pitch of its own to be found.

    Args:
        audios: the recordings.
        rates: samples per second of each.
        options: of all.
        most: in a batch.
        longest_seconds: of a recording that is not alone.
    """
    if most <= 1 or options.automatic:
        return [[number] for number in range(len(audios))]
    groups: dict[tuple[object, ...], list[list[int]]] = {}
    for number, (audio, rate) in enumerate(zip(audios, rates, strict=True)):
        fits = _is_row(audio) and 0 < len(audio) <= longest_seconds * rate
        key = (len(audio), rate, audio.dtype) if fits else (number,)
        parts = groups.setdefault(key, [[]])
        if len(parts[-1]) == most:
            parts.append([])
        parts[-1].append(number)
    return [part for parts in groups.values() for part in parts]


def _is_row(audio: np.ndarray) -> bool:
    return (
        isinstance(audio, np.ndarray)
        and audio.ndim == 1
        and audio.dtype.kind in "fi"
        and bool(np.isfinite(audio).all())
    )
