"""One text of each source for all the places at which it is read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.evaluation.evaluation import Evaluation, evaluate
from utils.evaluation.evaluators import Evaluators
from utils.evaluation.metrics import character_errors, edit_distance, normalize_text

FEWEST = 3  # of two readings none is the odd one


def evaluate_places(
    converted: Path, sources: Sequence[Path], target: Sequence[Path], judges: Evaluators, *, first_ms: int
) -> Evaluation:
    """Judge clips that were converted at several places: the words at each, all else at the first place alone.

    Args:
        converted: folder of converted files, named as their sources.
        sources: <clip>_<delay>ms.wav, every clip at the same places.
        target: recordings of the target voice.
        judges: from `load_evaluators`.
        first_ms: the delay of the first place.
    """
    later = [path for path in sources if not path.stem.endswith(f"_{first_ms}ms")]
    return with_common_references(evaluate(converted, sources, target, judges, words_only=later))


def with_common_references(evaluation: Evaluation) -> Evaluation:
    """Judge all conversions of a clip by one text: of the readings of its source that which is nearest to the others.

    A recognizer that stops in the middle of a source at one place would otherwise count as errors what it rightly reads
    in the conversion: one such reading in eighty was a tenth of all errors.

    Args:
        evaluation: of files named <clip>_<delay>ms; clips at fewer than three places keep the text of each.
    Returns:
        The same with edits, characters, `<recognizer>_text_reference` and the character errors of those texts.
    """
    names = [key.removesuffix("_edits") for key in next(iter(evaluation.files), {}) if key.endswith("_edits")]
    files = [dict(file) for file in evaluation.files]
    clips: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        clips.setdefault(str(file["file"]).rpartition("_")[0], []).append(file)
    for name in names:
        for places in clips.values():
            _judge_together(name, places)
    means = dict(evaluation.means)
    for name in names:
        characters = sum(file[f"{name}_characters"] for file in files)
        edits = sum(file[f"{name}_edits"] for file in files)
        means[f"{name}_character_error"] = edits / characters if characters else None
    return replace(evaluation, means=means, files=files)


def _judge_together(name: str, places: Sequence[dict[str, Any]]) -> None:
    if len(places) < FEWEST:
        return
    reference = central_text([str(file[f"{name}_text_source"]) for file in places])
    for file in places:
        edits, characters = character_errors(reference, str(file[f"{name}_text_converted"]))
        file.update({f"{name}_text_reference": reference, f"{name}_edits": edits, f"{name}_characters": characters})


def central_text(texts: Sequence[str]) -> str:
    """Return the text with the fewest edits to all others together, after normalize_text; the first of equal ones."""
    plain = [normalize_text(text) for text in texts]
    counts = Counter(plain)
    sums = {one: sum(count * edit_distance(one, other) for other, count in counts.items()) for one in counts}
    return texts[plain.index(min(sums, key=sums.__getitem__))]
