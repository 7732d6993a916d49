"""Judge a folder of converted recordings against their sources and the target voice.

    python -m utils.evaluation.report --converted DIR --sources DIR --target DIR [--json FILE]

Files belong together by sub-folder and name without the ending, as test_model.py writes them.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.decoding import SOUND_SUFFIXES
from utils.audio.io import load_audio
from utils.console import emit, table, utf8_text
from utils.errors import DataError, WorkbenchError
from utils.evaluation.evaluators import JUDGE_RATE, Judges, load_judges
from utils.evaluation.metrics import (
    character_errors,
    cosine_similarity,
    mean_embedding,
)
from utils.files import atomic_write_json, files_below
from utils.inference.measures import PitchMeter, compare_pitch
from utils.inference.pipeline import output_names

ALL_JUDGES = ("resemblyzer", "ecapa", "whisper", "distillmos")
MOST_NAMES = 5  # in a message
log = logging.getLogger(__name__)


@dataclass
class Evaluation:
    """What the judges found.

    Attributes:
        means: one figure over all files each; None where it cannot be computed.
        files: the same for every file.
        missing: judges that are not installed, with the command that installs each.
        left_out: sources without a converted file.
    """

    means: dict[str, float | None]
    files: list[dict[str, Any]]
    missing: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"means": self.means, "files": self.files, "missing": self.missing, "left_out": self.left_out}


def list_audio(folder: Path) -> list[Path]:
    """Return the recordings directly in a folder or below it, sorted; hidden files (._a.wav of a Mac) are none.

    Raises:
        DataError: if there are none.
    """
    paths = sorted(path for path in files_below(folder) if path.suffix.lower() in SOUND_SUFFIXES)
    if not paths:
        raise DataError(f"no recordings in {folder} (looked for {', '.join(sorted(SOUND_SUFFIXES)[:6])}, ...)")
    return paths


def spread(items: Sequence[Path], limit: int) -> list[Path]:
    """Return at most `limit` items, evenly spaced over the sequence."""
    if len(items) <= limit:
        return list(items)
    return [items[int(position)] for position in np.linspace(0, len(items) - 1, limit).round()]


def evaluate(
    converted: Path,
    sources: Sequence[Path],
    target: Sequence[Path],
    judges: Judges,
    *,
    words_only: Collection[Path] = (),
    below: Path | None = None,
) -> Evaluation:
    """Judge converted recordings.

    Args:
        converted: folder of converted files, named as their sources.
        sources: the source recordings; those without a converted file are an error, but with `below`.
        target: recordings of the target voice, best held out of training.
        judges: from `load_judges`.
        words_only: sources of which only the words are judged; not the first one.
        below: folder of the sources; a converted file then lies in `converted` where its source lies in this one, and
            sources without one are left out. None goes by the names alone.
    Raises:
        DataError: if a source has no converted file, or it cannot be told which is whose, or a folder is empty.
    """
    partners, absent = _partners(converted, sources, below)
    target_audio = [load_audio(path, JUDGE_RATE) for path in target]
    anchors = {
        name: mean_embedding([judge.embed(audio) for audio in target_audio]) for name, judge in judges.speakers.items()
    }
    meter = PitchMeter()
    files = []
    for source, output in partners:
        log.info("judging %s", output.name)
        source_audio, output_audio = load_audio(source, JUDGE_RATE), load_audio(output, JUDGE_RATE)
        label = output.relative_to(converted if below else output.parent).with_suffix("").as_posix()
        row: dict[str, Any] = {"file": utf8_text(label), "seconds": round(len(output_audio) / JUDGE_RATE, 3)}
        if source not in words_only:
            row.update(_speaker_figures(judges, anchors, source_audio, output_audio))
            row.update(_pitch_figures(meter, source_audio, output_audio))
        row.update(_text_figures(judges, source_audio, output_audio))
        if source not in words_only:
            for name, judge in judges.naturalness.items():
                row[f"{name}_source"], row[f"{name}_converted"] = judge.score(source_audio), judge.score(output_audio)
            row["identical"] = _identical(source_audio, output_audio)
        files.append(row)
    means = _means(files)
    for name, speaker_judge in judges.speakers.items():
        means[f"{name}_target_own"] = float(
            np.mean([cosine_similarity(speaker_judge.embed(audio), anchors[name]) for audio in target_audio])
        )
    for name, judge in judges.naturalness.items():
        means[f"{name}_target"] = float(np.mean([judge.score(audio) for audio in target_audio]))
    return Evaluation(means, files, dict(judges.missing), [utf8_text(str(path)) for path in absent])


def render(evaluation: Evaluation) -> str:
    """Return the figures as a table; a missing judge stands there with the command that installs it."""
    labels = {
        "source_to_target": "similarity source -> target",
        "converted_to_target": "similarity converted -> target",
        "converted_to_source": "similarity converted -> source",
        "target_own": "similarity of the target's own clips",
    }
    rows: list[list[object]] = []
    for key, value in evaluation.means.items():
        judge, _, figure = key.partition("_")
        label = f"{labels[figure]} ({judge})" if figure in labels else key.replace("_", " ")
        rows.append([label, "-" if value is None else f"{value:.3f}"])
    for name, command in evaluation.missing.items():
        rows.append([f"{name}: not installed", command])
    whole = sum("identical" in row for row in evaluation.files)
    words = f", words of {len(evaluation.files)}" if whole < len(evaluation.files) else ""
    return table(rows, [f"mean of {whole} files{words}", "value"])


def _partners(
    converted: Path, sources: Sequence[Path], below: Path | None
) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Return each source with its converted file, and the sources without one; see evaluate."""
    outputs: dict[Path, list[Path]] = {}
    for path in list_audio(converted):
        outputs.setdefault(path.relative_to(converted if below else path.parent).with_suffix(""), []).append(path)
    names = [path.relative_to(below or path.parent) for path in sources]
    _refuse_twice(names, sources, "name")
    found = {
        source: _converted_of(name, made.with_suffix(""), outputs)
        for source, name, made in zip(sources, names, output_names(names), strict=True)
    }
    pairs = [(source, output) for source, output in found.items() if output is not None]
    _refuse_twice([output for _, output in pairs], [source for source, _ in pairs], "converted file")
    absent = [source for source, output in found.items() if output is None]
    if absent and (below is None or not pairs):
        raise DataError(
            f"{len(absent)} of {len(sources)} sources have no converted file of the same name in "
            f"{converted}, for example {names[sources.index(absent[0])]}"
        )
    return pairs, absent


def _converted_of(name: Path, made: Path, outputs: dict[Path, list[Path]]) -> Path | None:
    """Return the converted file of a source.

    Args:
        name: of the source, with its ending.
        made: of its converted file without the ending, if it was converted together with the other sources.
        outputs: converted files by their names without the ending.
    Raises:
        DataError: if there are several, or what there is may belong to another source.
    """
    plain = name.with_suffix("")
    found = outputs.get(made, []) or (outputs.get(name, []) if made == plain else [])
    if len(found) > 1:
        raise DataError(f"{name} has {len(found)} converted files: {_listed(found)}; leave one of them")
    if not found and outputs.get(plain):
        raise DataError(f"{_listed(outputs[plain])} may be of {name} or of another source of that name; rename one")
    return found[0] if found else None


def _refuse_twice(items: Sequence[Path], sources: Sequence[Path], what: str) -> None:
    """Refuse sources that share an item, naming those of the first."""
    shared = next((item for item, count in Counter(items).items() if count > 1), None)
    if shared is not None:
        theirs = [source for source, item in zip(sources, items, strict=True) if item == shared]
        raise DataError(f"the sources {_listed(theirs)} have one {what}, {shared}; rename one and convert it again")


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths[:MOST_NAMES]) + ", ..." * (len(paths) > MOST_NAMES)


def _speaker_figures(
    judges: Judges, anchors: dict[str, np.ndarray], source: np.ndarray, output: np.ndarray
) -> dict[str, float]:
    figures = {}
    for name, judge in judges.speakers.items():
        source_embedding, output_embedding = judge.embed(source), judge.embed(output)
        figures[f"{name}_source_to_target"] = cosine_similarity(source_embedding, anchors[name])
        figures[f"{name}_converted_to_target"] = cosine_similarity(output_embedding, anchors[name])
        figures[f"{name}_converted_to_source"] = cosine_similarity(output_embedding, source_embedding)
    return figures


def _pitch_figures(meter: PitchMeter, source: np.ndarray, output: np.ndarray) -> dict[str, float | None]:
    pitch = compare_pitch(meter.track(source, JUDGE_RATE), meter.track(output, JUDGE_RATE))
    return {"f0_correlation": pitch.correlation, "voicing_agreement": pitch.voicing_agreement}


def _text_figures(judges: Judges, source: np.ndarray, output: np.ndarray) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, recognizer in judges.recognizers.items():
        expected, found = recognizer.transcribe(source), recognizer.transcribe(output)
        edits, length = character_errors(expected, found)
        figures.update(
            {
                f"{name}_text_source": expected,
                f"{name}_text_converted": found,
                f"{name}_edits": edits,
                f"{name}_characters": length,
            }
        )
    return figures


def _identical(source: np.ndarray, output: np.ndarray) -> bool:
    """Return whether the output is the unconverted input, up to its level."""
    length = min(len(source), len(output))
    return abs(cosine_similarity(source[:length], output[:length])) > 0.99


def _means(files: list[dict[str, Any]]) -> dict[str, float | None]:
    """Average every figure over the files that have it; edits become the rate over all characters, flags a count."""
    means: dict[str, float | None] = {}
    for key in files[0]:
        values = [row[key] for row in files if row.get(key) is not None]
        if key.endswith("_edits"):
            judge = key.removesuffix("_edits")
            characters = sum(row[f"{judge}_characters"] for row in files)
            means[f"{judge}_character_error"] = sum(values) / characters if characters else None
        elif key == "identical":
            means["identical_files"] = float(sum(values))
        elif not key.endswith(("_characters", "_source_text")) and key != "seconds" and not _is_text(values):
            means[key] = float(np.mean(values)) if values else None
    return means


def _is_text(values: list[Any]) -> bool:
    return any(isinstance(value, str) for value in values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m utils.evaluation.report", description=__doc__.splitlines()[0])
    parser.add_argument("--converted", type=Path, required=True, help="folder of converted files")
    parser.add_argument("--sources", type=Path, required=True, help="folder of the sources, same names")
    parser.add_argument("--target", type=Path, required=True, help="folder of the target voice's recordings")
    parser.add_argument("--target-clips", type=int, default=20, help="how many target clips make the reference")
    parser.add_argument(
        "--judges",
        default=",".join(ALL_JUDGES),
        help="comma-separated, of resemblyzer, ecapa, whisper, moonshine, distillmos",
    )
    parser.add_argument("--language", default="en", help="language of the sources for whisper")
    parser.add_argument("--threads", type=int, default=1, help="threads of the recognizer")
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args(arguments)
    try:
        judges = load_judges(tuple(options.judges.split(",")), language=options.language, num_threads=options.threads)
        sources = list_audio(options.sources)
        target = spread(list_audio(options.target), options.target_clips)
        evaluation = evaluate(options.converted, sources, target, judges, below=options.sources)
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    emit(render(evaluation))
    if evaluation.left_out:
        shown = _listed([Path(name) for name in evaluation.left_out])
        emit(f"left out, without a converted file: {len(evaluation.left_out)} sources ({shown})")
    if options.json:
        atomic_write_json(options.json, evaluation.as_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
