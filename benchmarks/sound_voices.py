"""Make sound voices of many kinds, each exported and verified, for counting the false alarms of verification.

    python -m benchmarks.sound_voices --work sound
    python -m benchmarks.planted_faults --sound sound/voices

Synthetic recordings, trainings of a few updates in small sizes: lite from the shipped base and from nothing at several
lengths, for streams, of two speakers, with and without a codebook, at other rates, in less precision; toy; RVC v1 and
v2, Applio's vocoders and So-VITS-SVC at their rates. What is already there is not
made again. The export verifies each beside PyTorch; a voice that it refuses is an alarm, and the exit code is 1.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.options import BenchmarkParser, work_folder
from utils.audio.synthetic_speech import write_recordings
from utils.command_line import run_program
from utils.config.export import export_job
from utils.config.preprocess import preprocess_job
from utils.config.train import train_job
from utils.console import emit
from utils.corpus import preprocess
from utils.errors import WorkbenchError
from utils.export import export
from utils.training import train

Words = tuple[str, ...]
SPEAKERS = {"anna": 215.0, "bert": 118.0}  # Hz
DATASETS: dict[str, tuple[int, Words]] = {  # name -> number of speakers, settings
    "one": (1, ("audio=24k",)),
    "two": (2, ("audio=24k",)),
    "live": (1, ("audio=24k", "content.look_ahead=short")),
    "wide": (1, ("audio=48k",)),
    **{f"rvc_{rate}k": (1, (f"audio=rvc_{rate}k",)) for rate in (24, 32, 40, 48)},
    "sovits": (1, ("audio=sovits",)),
}
SMALL = (
    "model.hidden_channels=32", "model.filter_channels=64", "model.num_layers=2", "model.posterior_layers=2",
    "model.upsample_channels=64", "discriminator=none", "data.segment_frames=60", "data.val_segment_frames=60",
)  # fmt: skip
SCRATCH = ("pretrained=none", "discriminator=none")


def _steps(count: int, *words: str) -> Words:
    return (f"trainer.steps={count}", f"trainer.validate_every={count}", *words)


TRAININGS: dict[str, tuple[str, Words]] = {  # name -> dataset, settings
    **{f"base_{count}": ("one", _steps(count, "pretrained=builtin")) for count in (2, 20, 60)},
    **{f"scratch_{count}": ("one", _steps(count, *SCRATCH)) for count in (2, 40)},
    "no_codebook": ("one", _steps(4, "pretrained=builtin", "retrieval.codebook_size=0")),
    "two": ("two", _steps(20, "pretrained=builtin")),
    "live": ("live", _steps(20, "model=lite_stream", *SCRATCH)),
    "wide": ("wide", _steps(6, "audio=48k", *SCRATCH)),
    "toy": ("one", _steps(60, "model=toy", *SCRATCH)),
    "toy_two": ("two", _steps(60, "model=toy", *SCRATCH)),
    **{
        name: (f"rvc_{name.rpartition('_')[2]}", _steps(3, f"experiment={name}", *SMALL))
        for name in (
            "rvc_v1_32k", "rvc_v1_40k", "rvc_v1_48k", "rvc_v2_24k", "rvc_v2_32k", "rvc_v2_40k", "rvc_v2_48k",
            "rvc_mrf_32k", "rvc_mrf_48k", "rvc_refinegan_24k", "rvc_refinegan_40k",
        )
    },
    "sovits_4_0": ("sovits", _steps(3, "experiment=sovits_4_0", *SMALL)),
    "sovits_4_1": ("sovits", _steps(3, "experiment=sovits_4_1", *SMALL)),
}  # fmt: skip
STREAM = "export.graph_kinds=[stream]"
VOICES: dict[str, tuple[str, Words]] = {  # name -> training, settings of the export; each training is a voice, too
    **{name: (name, ()) for name in TRAININGS if name != "live"},
    "live": ("live", (STREAM,)),
    "fp16": ("base_20", ("export.precision=fp16",)),
    "int8": ("base_20", ("export.precision=int8",)),
    "at_44100": ("base_60", ("export.rates=[44100]",)),
    "at_16000_fp16": ("base_20", ("export.rates=[16000]", "export.precision=fp16")),
    "large_codebook": ("base_20", ("retrieval.codebook_size=128", "export.defaults.index_rate=0.7")),
    "lower": ("base_60", ("export.pitch_shift=-5", "export.defaults.loudness_mix=0.3")),
    "stream": ("base_60", (STREAM,)),
    "stream_fp16": ("base_20", (STREAM, "export.precision=fp16")),
    "stream_40_ms": ("two", (STREAM, "export.stream_block_ms=40")),
    "second_speaker": ("two", ("export.speaker=bert",)),
    "two_int8": ("two", ("export.precision=int8",)),
    "toy_at_48000": ("toy", ("export.rates=[48000]",)),
    "sovits_fp16": ("sovits_4_1", ("export.precision=fp16",)),
}
QUICK = (
    "data.batch_size=2", "data.num_workers=0", "trainer.accelerator=cpu", "trainer.progress_bar=false",
    "trainer.media=false", "run.replace=true",
)  # fmt: skip
VERIFIED = ("export.verify_minutes=0", "export.verify_blocks=20")


def made_dataset(work: Path, name: str) -> None:
    """Prepare the recordings of a dataset, unless it is there."""
    num_speakers, words = DATASETS[name]
    if (work / "datasets" / name / "dataset.json").is_file():
        return
    recordings = work / f"recordings_{num_speakers}"
    for speaker, f0_hz in list(SPEAKERS.items())[:num_speakers]:
        write_recordings(recordings / speaker, num_files=8, seconds=4.0, f0_hz=f0_hz, sample_rate=48000)
    places = (f"dataset.source={recordings}", f"dataset.name={name}", f"dataset.root={work / 'datasets'}")
    preprocess(preprocess_job([*places, "preprocess.num_workers=0", "preprocess.content_speeds=[]", *words]))


def made_run(work: Path, name: str) -> Path:
    """Return the folder of a training, which is made unless it is there."""
    dataset, words = TRAININGS[name]
    run = work / "runs" / name
    if not (run / "metrics.json").is_file():
        made_dataset(work, dataset)
        places = (f"dataset.name={dataset}", f"dataset.root={work / 'datasets'}", f"run.root={run.parent}")
        train(train_job([*places, f"run.name={name}", *QUICK, *words]))
    return run


def made_voice(work: Path, name: str) -> str:
    """Export a voice, unless it is there; returns what is wrong with it."""
    training, words = VOICES[name]
    root = work / "voices"
    if any((root / name).glob("*.onnx")):
        return ""
    try:
        run = made_run(work, training)
        made = export(export_job([f"run={run}", f"name={name}", f"export.root={root}", *VERIFIED, *words]))
    except WorkbenchError as error:
        return str(error)
    failed = [check for graph in made.graphs for check in graph.checks if not check.passed]
    return "; ".join(f"{check.name}: {check.detail[:200]}" for check in failed)


def make_all(work: Path, names: Sequence[str]) -> int:
    """Make voices and print what is wrong with each; returns how many are refused."""
    alarms = 0
    for name in names:
        problem = made_voice(work, name)
        alarms += bool(problem)
        emit(f"{'ALARM' if problem else 'sound'}  {name}{f': {problem}' if problem else ''}")
    emit(f"{alarms} of {len(names)} voices refused when they were exported")
    return alarms


def _arguments() -> argparse.Namespace:
    parser = BenchmarkParser("sound_voices", __doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(VOICES), metavar="NAME", default=list(VOICES), help="these")
    parser.add_work()
    return parser.parse_args()


def main() -> int:
    """Run the program and return its exit code."""
    options = _arguments()
    return run_program("sound_voices", lambda: int(make_all(work_folder(options), options.only) > 0))


if __name__ == "__main__":
    sys.exit(main())
