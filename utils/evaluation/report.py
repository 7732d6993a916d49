"""Judge a folder of converted recordings against their sources and the target voice.

    python -m utils.evaluation.report --converted DIR --sources DIR --target DIR [--json FILE]

Files belong together by their names without the ending.
"""

import argparse
import logging
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.io import load_audio
from utils.console import emit, table
from utils.errors import DataError, WorkbenchError
from utils.evaluation.judges import JUDGE_RATE, Judges, load_judges
from utils.evaluation.metrics import (
    character_errors,
    cosine_similarity,
    mean_embedding,
)
from utils.files import atomic_write_json, files_below
from utils.inference.measures import PitchMeter, compare_pitch

ALL_JUDGES = ("resemblyzer", "ecapa", "whisper", "distillmos")
AUDIO_ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".opus")
log = logging.getLogger(__name__)


@dataclass
class Evaluation:
    """What the judges found.

    Attributes:
        means: one figure over all files each; None where it cannot be computed.
        files: the same for every file.
        missing: judges that are not installed, with the command that installs each.
    """

    means: dict[str, float | None]
    files: list[dict[str, Any]]
    missing: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"means": self.means, "files": self.files, "missing": self.missing}


def list_audio(folder: Path) -> list[Path]:
    """Return the recordings directly in a folder or below it, sorted; hidden files (._a.wav of a Mac) are none.

    Raises:
        DataError: if there are none.
    """
    paths = sorted(path for path in files_below(folder) if path.suffix.lower() in AUDIO_ENDINGS)
    if not paths:
        raise DataError(f"no recordings in {folder} (looked for {', '.join(AUDIO_ENDINGS)})")
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
) -> Evaluation:
    """Judge converted recordings.

    Args:
        converted: folder of converted files, named as their sources.
        sources: the source recordings; those without a converted file are an error.
        target: recordings of the target voice, best held out of training.
        judges: from `load_judges`.
        words_only: sources of which only the words are judged; not the first one.
    Raises:
        DataError: if a source has no converted file or a folder is empty.
    """
    partners = _partners(converted, sources)
    target_audio = [load_audio(path, JUDGE_RATE) for path in target]
    anchors = {
        name: mean_embedding([judge.embed(audio) for audio in target_audio]) for name, judge in judges.speakers.items()
    }
    meter = PitchMeter()
    files = []
    for source, output in partners:
        log.info("judging %s", output.name)
        source_audio, output_audio = load_audio(source, JUDGE_RATE), load_audio(output, JUDGE_RATE)
        row: dict[str, Any] = {"file": output.stem, "seconds": round(len(output_audio) / JUDGE_RATE, 3)}
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
    return Evaluation(means, files, dict(judges.missing))


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


def _partners(converted: Path, sources: Sequence[Path]) -> list[tuple[Path, Path]]:
    outputs = {path.stem: path for path in list_audio(converted)}
    absent = [source.name for source in sources if source.stem not in outputs]
    if absent:
        raise DataError(
            f"{len(absent)} of {len(sources)} sources have no converted file of the same name in "
            f"{converted}, for example {absent[0]}"
        )
    return [(source, outputs[source.stem]) for source in sources]


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
        converted_names = {path.stem for path in list_audio(options.converted)}
        sources = [path for path in list_audio(options.sources) if path.stem in converted_names]
        if not sources:
            raise DataError(f"no file of {options.converted} has the name of one in {options.sources}")
        target = spread(list_audio(options.target), options.target_clips)
        evaluation = evaluate(options.converted, sources, target, judges)
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    emit(render(evaluation))
    if options.json:
        atomic_write_json(options.json, evaluation.as_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
