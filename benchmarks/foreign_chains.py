"""Train, export, convert, write back, read again: every architecture of other programs, from command to command.

    python -m benchmarks.foreign_chains --work chains

Synthetic recordings, content encoders of random weights, and networks that are narrower than the published ones. For
each voice the scripts of the checkout run as a person types them, in the work folder: preprocess.py, train.py for a few
updates, export_onnx.py (verified), test_model.py, export_onnx.py to the other program's files, its report of them,
export_onnx.py of what was written, test_model.py again, and train.py from the pair. The difference is the largest
between the two conversions, over the largest sample; shared voices of RVC are in half precision. The exit code is 1
where a command fails or a conversion differs.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from benchmarks.made_encoders import hubert_folder, onnx_encoder
from benchmarks.options import BenchmarkParser, work_folder, write_figures
from scripts.pipeline import ROOT, as_typed, empty_folder, only_file
from utils.audio.synthetic_speech import write_recordings
from utils.command_line import run_program
from utils.console import emit, table
from utils.errors import ConfigError, WorkbenchError

Words = tuple[str, ...]
SPEAKERS = {"anna": 215.0, "bert": 118.0}  # Hz
# VITS converts between its speakers; after a few updates the others' second speaker would hardly differ from the first
RECORDINGS = {"vits": "recordings", "sovits": "recordings/anna", "rvc": "recordings/anna"}
RATES = (24, 32, 40, 48)  # kHz
HALF, SINGLE = 0.05, 1e-3  # largest difference of a conversion, by the precision of the file
HEADS = ("trained", "exported, verified", "converted", "written back", "report", "read again", "converted again",
         "trained on")  # fmt: skip


class Encoder(NamedTuple):
    """A content encoder: the option that chooses it, more settings, and the form of its weights."""

    option: str
    is_folder: bool
    dim: int = 768
    more: Words = ()


class Chain(NamedTuple):
    """What is trained and written: name in the table, settings of the dataset and of the training."""

    name: str
    program: str  # rvc, sovits or vits
    encoder: str
    audio: str
    training: Words
    conversion: Words = ()


ENCODERS = {
    "contentvec (ONNX)": Encoder("contentvec", is_folder=False),
    "contentvec (folder)": Encoder("contentvec", is_folder=True),
    "contentvec, 256 (ONNX)": Encoder("contentvec_v1", is_folder=False, dim=256),
    "contentvec, 256 (folder)": Encoder("contentvec_v1", is_folder=True, dim=256),
    "spin (folder)": Encoder("spin", is_folder=True),
    "spin-v2 (ONNX)": Encoder("spin_v2", is_folder=False),
    "chinese (folder)": Encoder("chinese_hubert_base", is_folder=True),
    "japanese (ONNX)": Encoder("japanese_hubert_base", is_folder=False),
    "korean (folder)": Encoder("korean_hubert_base", is_folder=True),
    "custom (ONNX)": Encoder("contentvec", is_folder=False, more=("content.name=mine",)),
}
BUILTIN = "none"  # VITS reads the audio itself
SMALL = ("model.hidden_channels=32", "model.upsample_channels=64", "model.training_frames=12",
         "discriminator.channels=64")  # fmt: skip
SMALL_PRIOR = (*SMALL, "model.filter_channels=64", "model.num_layers=2")
AUTOMATIC_F0 = "model.automatic_f0=true"
SOVITS: dict[str, tuple[str, str, Words]] = {  # name -> experiment, encoder, settings
    "So-VITS-SVC 4.0": ("sovits_4_0", "contentvec, 256 (ONNX)", ()),
    "So-VITS-SVC 4.0 of the fork, on 768 values": ("sovits_4_0", "contentvec (ONNX)", ()),
    "So-VITS-SVC 4.1": ("sovits_4_1", "contentvec (folder)", ()),
    "So-VITS-SVC 4.1 on 256 values": ("sovits_4_1", "contentvec, 256 (folder)", ("model.speaker_dim=256",)),
    "So-VITS-SVC 4.1 with volume": ("sovits_4_1", "contentvec (ONNX)", ("model.use_volume=true",)),
    "So-VITS-SVC 4.1, automatic f0": ("sovits_4_1", "contentvec (ONNX)", (AUTOMATIC_F0,)),
    "So-VITS-SVC 4.1 without a pitch decoder": ("sovits_4_1", "contentvec (ONNX)", ("model.predicts_f0=false",)),
    "So-VITS-SVC 4.1 with snakes": ("sovits_4_1", "contentvec (ONNX)", ("model.use_snakes=true",)),
    "So-VITS-SVC 4.1 with a shared flow": ("sovits_4_1", "contentvec (ONNX)", ("model.shares_flow=true",)),
    "So-VITS-SVC 4.1 with a transformer flow": ("sovits_4_1", "contentvec (ONNX)", ("model.transformer_flow=true",)),
    "So-VITS-SVC 4.1, separable": ("sovits_4_1", "contentvec (ONNX)", ("model.is_separable=true",)),
}
OF_RATES = (  # encoders of the voices of each vocoder, by rate
    ("MRF HiFi-GAN", "mrf", ("contentvec (ONNX)", "spin (folder)", "spin-v2 (ONNX)", "chinese (folder)")),
    ("RefineGAN", "refinegan", ("japanese (ONNX)", "korean (folder)", "custom (ONNX)", "contentvec (folder)")),
)
CHAINS = (
    Chain("VITS of two speakers", "vits", BUILTIN, "vits", ("experiment=vits_vc", *SMALL)),
    *(
        Chain(
            name,
            "sovits",
            encoder,
            "sovits",
            (f"experiment={experiment}", *SMALL_PRIOR, *words),
            ("automatic_f0=1",) * (AUTOMATIC_F0 in words),  # G_*.pth does not say it: it is chosen with each use
        )
        for name, (experiment, encoder, words) in SOVITS.items()
    ),
    *(
        Chain(f"{vocoder} {rate} kHz", "rvc", encoder, f"rvc_{rate}k", (f"experiment=rvc_{word}_{rate}k", *SMALL_PRIOR))
        for vocoder, word, encoders in OF_RATES
        for rate, encoder in zip(RATES, encoders, strict=True)
    ),
    Chain("HiFi-GAN 24 kHz", "rvc", "contentvec (ONNX)", "rvc_24k", ("experiment=rvc_v2_24k", *SMALL_PRIOR)),
    Chain("RVC v1 40 kHz", "rvc", "contentvec, 256 (ONNX)", "rvc_40k", ("experiment=rvc_v1_40k", *SMALL_PRIOR)),
)
QUICK = (
    "data.batch_size=1", "data.num_workers=0", "data.segment_frames=60", "data.val_segment_frames=60",
    "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.progress_bar=false", "trainer.media=false",
    "trainer.report=false", "retrieval.codebook_size=0", "optim.ema_decay=0",
)  # fmt: skip
VERIFIED = ("export.verify_minutes=0", "export.verify_blocks=20")


class Trial:
    """One chain: its commands, each with a log, and what came of them.

    Args:
        chain: what is tried.
        work: folder of all chains, in which the commands run.
    """

    def __init__(self, chain: Chain, work: Path) -> None:
        self.chain, self.work = chain, work
        self.key = "".join(letter if letter.isalnum() else "_" for letter in chain.name.lower())
        self.done: list[str] = []
        self.problem = ""
        self.difference: float | None = None

    def run(self) -> None:
        """Run the commands one after the other until one fails."""
        try:
            self._run()
        except WorkbenchError as error:
            self.problem = str(error)

    def _run(self) -> None:
        chain, key = self.chain, self.key
        encoder = encoder_words(self.work, chain.encoder)
        data = ("dataset.root=datasets", f"dataset.name={key}")
        self._type(
            "preprocess.py", f"dataset.source={RECORDINGS[chain.program]}", *data, f"audio={chain.audio}", *encoder,
            "preprocess.num_workers=0", "preprocess.content_speeds=[]",
            *(() if chain.program == "rvc" else ("preprocess.highpass_hz=0",)),
        )  # fmt: skip
        training = ("train.py", *data, *chain.training, *QUICK, "trainer.steps=3", "trainer.validate_every=3")
        self._type(*training, f"run.name={key}", is_stage=True)
        run, last = f"run=runs/{key}", "checkpoint=last"
        self._type("export_onnx.py", run, last, f"name={key}", *VERIFIED, is_stage=True)
        before = self._convert(f"exports/{key}")
        written = self._written_back(run)
        report = self.work / "reports" / f"{key}.json"
        self._type("export_onnx.py", f"voice={written}", "export=rvc_report", f"report={report}", is_stage=True)
        check_report(json.loads(report.read_text(encoding="utf-8")))
        again = (f"voice={written}", *encoder, f"name={key}_again")
        self._type("export_onnx.py", *again, *VERIFIED, is_stage=True)
        self.difference = difference = largest_difference(before, self._convert(f"exports/{key}_again"))
        bar = HALF if chain.program == "rvc" else SINGLE
        if not difference <= bar:
            raise WorkbenchError(f"the conversions differ by {difference:.1e} of the peak, allowed {bar:g}")
        pair = {letter: only_file(self.work / f"exports/{key}_pair", f"{letter}_*.pth") for letter in "GD"}
        given = (f"pretrained.generator={pair['G']}", f"pretrained.discriminator={pair['D']}")
        self._type(*training, f"run.name={key}_on", *given, is_stage=True)

    def _written_back(self, run: str) -> Path:
        """Write the pair, and of RVC the shared voice; return the file of the voice."""
        key = self.key
        pair = (run, "export=rvc_checkpoint", "checkpoint=last", f"name={key}_pair")
        self._type("export_onnx.py", *pair)
        if self.chain.program != "rvc":
            self.done.append("written back")
            return only_file(self.work / f"exports/{key}_pair", "G_*.pth")
        shared = (run, "export=rvc_pth", "checkpoint=last", f"name={key}_shared")
        self._type("export_onnx.py", *shared, is_stage=True)
        return self.work / f"exports/{key}_shared" / f"{key}_shared.pth"

    def _convert(self, folder: str) -> np.ndarray:
        graph = only_file(self.work / folder, "*.onnx")
        output = self.work / "converted" / f"{graph.stem}.wav"
        source = ("source=anna", "speaker=bert") if self.chain.program == "vits" else ()
        words = (f"onnx={graph}", "audio=recordings/anna/anna_00.wav", f"output={output}", "format=wav32f")
        self._type("test_model.py", *words, *source, *self.chain.conversion, "threads=[1]", is_stage=True)
        audio, _ = soundfile.read(output, dtype="float32")
        if not np.isfinite(audio).all() or np.abs(audio).max(initial=0) < 1e-4:
            raise WorkbenchError(f"{output} is silent or not finite")
        return audio

    def _type(self, script: str, *words: str, is_stage: bool = False) -> None:
        """Run a script of the checkout in the work folder; its output becomes a log."""
        log = self.work / "logs" / f"{self.key}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("a", encoding="utf-8") as stream:
            stream.write(f"$ {as_typed([script, *words])}\n")
            stream.flush()
            command = [sys.executable, str(ROOT / script), *words]
            ended = subprocess.run(command, cwd=self.work, stdout=stream, stderr=subprocess.STDOUT, check=False)
        if ended.returncode:
            last = log.read_text(encoding="utf-8").strip().splitlines()[-1]
            raise WorkbenchError(f"{script} ended with code {ended.returncode}: {last[:300]} ({log})")
        if is_stage:
            self.done.append(HEADS[len(self.done)])


def encoder_words(work: Path, name: str) -> Words:
    """Return the settings that choose an encoder; its weights are made unless they are there."""
    if name == BUILTIN:
        return ()
    encoder, seed = ENCODERS[name], list(ENCODERS).index(name)
    path = work / "encoders" / (f"e{seed}" if encoder.is_folder else f"e{seed}.onnx")
    if not path.exists() and encoder.is_folder:
        projected = encoder.dim if encoder.dim != 768 else None
        hubert_folder(path, 9 if projected else 12, projected, seed)
    elif not path.exists():
        onnx_encoder(path, encoder.dim, seed)
    return (f"content={encoder.option}", f"content.path={path}", *encoder.more)


def check_report(report: dict[str, Any]) -> None:
    """Refuse a report that finds the weights of a voice unhealthy."""
    if not report["health"]["is_sound"]:
        raise WorkbenchError(f"the report finds the weights unsound: {report['health']}")


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference over the largest sample; infinite for other lengths."""
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one - other).max() / np.abs(one).max())


def try_all(work: Path, chains: Sequence[Chain]) -> list[Trial]:
    """Run the chains and print what came of each."""
    for name, f0_hz in SPEAKERS.items():
        write_recordings(work / "recordings" / name, num_files=4, seconds=3.0, f0_hz=f0_hz, sample_rate=48000)
    trials = []
    for chain in chains:
        trial, start = Trial(chain, work), time.monotonic()
        trial.run()
        emit(f"{chain.name}: {trial.problem or 'all of it'}, {time.monotonic() - start:.0f} s")
        trials.append(trial)
    return trials


def show(trials: Sequence[Trial]) -> int:
    """Print the table; return the exit code."""
    rows = [
        [
            trial.chain.name, trial.chain.encoder, *("yes" if head in trial.done else "no" for head in HEADS),
            "" if trial.difference is None else f"{trial.difference:.1e}",
        ]
        for trial in trials
    ]  # fmt: skip
    emit(table(rows, ["voice", "encoder", *HEADS, "difference"]))
    failed = [trial for trial in trials if trial.problem]
    emit(f"{len(trials) - len(failed)} of {len(trials)} chains went through")
    return int(bool(failed))


def _measure(options: argparse.Namespace) -> int:
    work = empty_folder(work_folder(options))
    chosen = [chain for chain in CHAINS if not options.only or any(word in f"{chain.name} " for word in options.only)]
    if not chosen:
        raise ConfigError(
            f"--only {' '.join(options.only)}: no chain is called so; {', '.join(item.name for item in CHAINS)}"
        )
    trials = try_all(work, chosen)
    figures = {
        trial.chain.name: {"done": trial.done, "difference": trial.difference, "problem": trial.problem}
        for trial in trials
    }
    write_figures(options, "foreign_chains", figures)
    return show(trials)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("foreign_chains", __doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="chains whose name has one of these")
    parser.add_work()
    options = parser.parse_args(arguments)
    return run_program("foreign_chains", lambda: _measure(options))


if __name__ == "__main__":
    sys.exit(main())
