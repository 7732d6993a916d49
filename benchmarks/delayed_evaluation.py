"""Evaluate clips that were converted behind several lengths of silence, and say how sure a character error is.

One reading of 20 clips by a recognizer differs from the next by up to .01, so every clip is read behind each delay. All
other figures are taken behind the first delay alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.evaluation.evaluation import Evaluation, evaluate
from utils.evaluation.evaluators import Evaluators
from utils.evaluation.metrics import character_errors, edit_distance, normalize_text

FEWEST = 3  # of two readings none is the odd one
DELAY_COLUMNS = ["silence before (ms)", "character error", "of the source, against the first row's source"]


def evaluate_delayed(
    converted: Path, sources: Sequence[Path], target: Sequence[Path], evaluators: Evaluators, *, first_ms: int
) -> Evaluation:
    """Evaluate clips that were converted behind several delays: the words behind each, all else behind the first.

    Args:
        converted: folder of converted files, named as their sources.
        sources: <clip>_<delay>ms.wav, every clip behind the same delays.
        target: recordings of the target voice.
        evaluators: from `load_evaluators`.
        first_ms: the first delay.
    """
    later = [path for path in sources if not path.stem.endswith(f"_{first_ms}ms")]
    return with_common_references(evaluate(converted, sources, target, evaluators, words_only=later))


def with_common_references(evaluation: Evaluation) -> Evaluation:
    """Compare all conversions of a clip with one text: of the readings of its source that which is nearest to the rest.

    A recognizer that stops in the middle of a source behind one delay would otherwise count as errors what it rightly
    reads in the conversion: one such reading in eighty was a tenth of all errors.

    Args:
        evaluation: of files named <clip>_<delay>ms; clips behind fewer than three delays keep the text of each.
    Returns:
        The same with edits, characters, `<recognizer>_text_reference` and the character errors of those texts.
    """
    names = [key.removesuffix("_edits") for key in next(iter(evaluation.files), {}) if key.endswith("_edits")]
    files = [dict(file) for file in evaluation.files]
    clips: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        clips.setdefault(clip_of(file), []).append(file)
    for name in names:
        for readings in clips.values():
            _compare_with_one_text(name, readings)
    means = dict(evaluation.means)
    for name in names:
        characters = sum(file[f"{name}_characters"] for file in files)
        edits = sum(file[f"{name}_edits"] for file in files)
        means[f"{name}_character_error"] = edits / characters if characters else None
    return replace(evaluation, means=means, files=files)


def _compare_with_one_text(name: str, readings: Sequence[dict[str, Any]]) -> None:
    if len(readings) < FEWEST:
        return
    reference = central_text([str(file[f"{name}_text_source"]) for file in readings])
    for file in readings:
        edits, characters = character_errors(reference, str(file[f"{name}_text_converted"]))
        file.update({f"{name}_text_reference": reference, f"{name}_edits": edits, f"{name}_characters": characters})


def central_text(texts: Sequence[str]) -> str:
    """Return the text with the fewest edits to all others together, after normalize_text; the first of equal ones."""
    plain = [normalize_text(text) for text in texts]
    counts = Counter(plain)
    sums = {one: sum(count * edit_distance(one, other) for other, count in counts.items()) for one in counts}
    return texts[plain.index(min(sums, key=sums.__getitem__))]


def clip_of(file: Mapping[str, Any]) -> str:
    """Return the name of a file without its delay."""
    return str(file["file"]).rpartition("_")[0]


def errors_by_delay(files: Sequence[Mapping[str, Any]], delays_ms: Sequence[int]) -> list[list[float]]:
    """Return rows of delay, Whisper's character error over the clips with that delay, and its error on the sources.

    The latter compares what it reads in the delayed source and in the source with the first delay.
    """
    first: list[Mapping[str, Any]] = []
    rows = []
    for delay in delays_ms:
        mine = [file for file in files if str(file["file"]).endswith(f"_{delay}ms")]
        first = first or mine
        edits, characters = (sum(file[f"whisper_{key}"] for file in mine) for key in ("edits", "characters"))
        own = [
            character_errors(one["whisper_text_source"], other["whisper_text_source"])
            for one, other in zip(first, mine, strict=True)
        ]
        own_edits, own_characters = (sum(column) for column in zip(*own, strict=True))
        rows.append([delay, round(edits / max(1, characters), 4), round(own_edits / max(1, own_characters), 4)])
    return rows


def edits_by_clip(files: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Return [edits, characters] of Whisper for each clip, all its delays together."""
    clips: dict[str, list[int]] = {}
    for file in files:
        sums = clips.setdefault(clip_of(file), [0, 0])
        sums[0] += file["whisper_edits"]
        sums[1] += file["whisper_characters"]
    return clips


class Difference(NamedTuple):
    """How far two character errors are apart, and the standard error of that over the clips."""

    value: float
    standard_error: float


def difference(one: Mapping[str, Sequence[int]], other: Mapping[str, Sequence[int]]) -> Difference:
    """Return the character error of one voice less that of the other, over the same clips.

    Its standard error is that of a ratio of sums over clips taken at random (Cochran, Sampling Techniques, 1977,
    chapter 6).

    Args:
        one: clip -> [edits, characters], at least two.
        other: the same clips of the other voice.
    """
    edits = np.array([one[clip][0] - other[clip][0] for clip in one], np.float64)
    characters = np.array([one[clip][1] for clip in one], np.float64)
    value = edits.sum() / characters.sum()
    residue = np.square(edits - value * characters).sum() * len(edits) / (len(edits) - 1)
    return Difference(float(value), float(np.sqrt(residue) / characters.sum()))
