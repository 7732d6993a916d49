"""What a user gets, as sums: weights after 3 or 6 updates, converted audio, checkpoints, by the four scripts.

    python tests/unchanged/reference_sums.py --checkout <folder of a checkout> --work <empty folder> --write sums.json

Knows the scripts and the files that they leave, not the code behind them, so that it runs on any version of the
project. Sums are exact on one class of processor; `class` in the file names it.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

STEPS = 6
EARLIER_RUN = Path(__file__).resolve().parents[1] / "golden" / "run_of_0_1.zip"
EARLIER_STEPS = 200  # updates behind it
TINY = [
    "data.batch_size=2", "data.segment_frames=40", "data.val_segment_frames=60", "retrieval.codebook_size=16",
    "trainer.precision=32-true", "trainer.accelerator=cpu", "trainer.progress_bar=false", "trainer.media=false",
]  # fmt: skip
UNHEARD = Path("tests") / "tools" / "unheard.py"
QUICK = ["export.verify_minutes=0", "export.verify_blocks=0"]
DATASETS: dict[str, list[str]] = {"light": [], "rvc": ["audio=rvc_40k", "content=toy", "content.dim=768"]}
USERS = {"light": {"light", "base"}, "rvc": {"rvc"}}  # cases that need the dataset
FORMANTS = ((730, 1090), (530, 1840), (270, 2290), (570, 840), (300, 870))  # Peterson and Barney 1952, rounded


@dataclass(frozen=True)
class Extent:
    """How much is done for the sums.

    Attributes:
        steps: updates of the trainings from nothing.
        has_sound: whether voices are exported and converted with.
    """

    steps: int = STEPS
    has_sound: bool = True


def sound(seconds: float, rate: int, f0_hz: float, seed: int) -> np.ndarray:
    """Return [T] float32: harmonics under moving formants, by numpy alone."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    syllable = (time / 0.2).astype(int)
    formants = np.array(FORMANTS, dtype=float)[rng.integers(len(FORMANTS), size=syllable.max() + 1)]
    glide = f0_hz * (1 + 0.15 * np.sin(2 * np.pi * 0.7 * time + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(glide) / rate
    wave = np.zeros(len(time))
    for harmonic in range(1, int(0.35 * rate / f0_hz)):
        gains = (1 / (1 + ((harmonic * glide - formants[syllable, k]) / 90.0) ** 2) for k in range(2))
        wave += sum(gains) / harmonic**0.5 * np.sin(harmonic * phase)
    wave *= 0.25 + 0.75 * np.sin(np.pi * ((time / 0.2) % 1)) ** 2
    wave += 1e-4 * rng.standard_normal(len(time))
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def write_recordings(folder: Path, f0_hz: float, rate: int, count: int, seconds: float) -> None:
    """Write numbered recordings of one synthetic speaker as 16-bit files."""
    folder.mkdir(parents=True)
    for index in range(count):
        soundfile.write(folder / f"{index}.wav", sound(seconds, rate, f0_hz, index), rate, subtype="PCM_16")


def run(checkout: Path, work: Path, *command: str) -> None:
    """Run one script of a checkout in the work folder; raise with what it printed when it fails."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    unheard = checkout / UNHEARD  # an export writes what it writes, whatever the rules that listen say
    line = [sys.executable, *[str(unheard)] * unheard.is_file(), str(checkout / command[0]), *command[1:]]
    found = subprocess.run(line, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with {found.returncode}\n{found.stdout[-2000:]}\n{found.stderr[-4000:]}"
        )


def sum_of_tensors(state: dict[str, Any]) -> str:
    """Return a SHA-256 over names, kinds, shapes and bytes of all tensors."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def norms(state: dict[str, Any]) -> dict[str, float]:
    """Return the norm of a few tensors, for comparing classes of processors."""
    chosen = [name for name in sorted(state) if isinstance(state[name], torch.Tensor) and state[name].ndim > 1][::17]
    return {name: float(state[name].double().norm()) for name in chosen}


def weights(work: Path, name: str) -> dict[str, Any]:
    """Return sums of the last checkpoint of a run."""
    content = torch.load(work / "runs" / name / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    return {"sum": sum_of_tensors(content["state_dict"]), "norms": norms(content["state_dict"])}


def audio_sum(path: Path) -> dict[str, Any]:
    """Return sums of a sound file's samples."""
    samples, rate = soundfile.read(path, dtype="float32")
    digest = hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()
    return {"sum": digest, "rate": rate, "samples": len(samples), "rms": float(np.sqrt(np.mean(samples**2)))}


def stream_sum(path: Path, source: Path) -> dict[str, Any]:
    """Feed a streaming graph block by block, as README does."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    facts = json.loads(session.get_modelmeta().custom_metadata_map["voclo_trainer"])["extra"]["stream"]
    audio, _ = soundfile.read(source, dtype="float32")
    state, parts = np.zeros((1, facts["state_size"]), np.float32), []
    for start in range(0, len(audio) - facts["block"] + 1, facts["block"]):
        feeds = {"audio": audio[None, start : start + facts["block"]], "state": state}
        output, state = session.run(["output", "next_state"], feeds)
        parts.append(output[0])
    whole = np.concatenate(parts)
    return {"sum": hashlib.sha256(whole.tobytes()).hexdigest(), "rms": float(np.sqrt(np.mean(whole**2)))}


def prepare(checkout: Path, work: Path, datasets: Iterable[str]) -> None:
    """Make recordings of a target and of a source, and the named datasets of the target, where they are not there."""
    if not (work / "recordings").is_dir():
        write_recordings(work / "recordings" / "alice", 200.0, 24000, 5, 2.0)
        write_recordings(work / "source", 120.0, 24000, 1, 2.0)
    common = ["dataset.source=recordings/alice", "preprocess.num_workers=0"]
    for name in datasets:
        if (work / "datasets" / name).is_dir():
            continue
        run(checkout, work, "preprocess.py", *common, f"dataset.name={name}", *DATASETS[name])


def train_light(checkout: Path, work: Path, extent: Extent) -> dict[str, Any]:
    """Train the light voice from nothing."""
    steps = [f"trainer.steps={extent.steps}", f"trainer.validate_every={extent.steps}"]
    run(checkout, work, "train.py", "dataset.name=light", "run.name=light", "model=lite", *TINY, *steps)
    return weights(work, "light")


def train_rvc(checkout: Path, work: Path, extent: Extent) -> dict[str, Any]:
    """Train RVC v2 at 40 kHz at its full size from nothing."""
    steps = [f"trainer.steps={extent.steps}", f"trainer.validate_every={extent.steps}"]
    # the recipe first: its own values come before those that make it small
    recipe = ["experiment=rvc_v2_40k", "dataset.name=rvc", "run.name=rvc"]
    run(checkout, work, "train.py", *recipe, *TINY, *steps, "data.segment_frames=20")
    return weights(work, "rvc")


def export_base(checkout: Path, work: Path, extent: Extent) -> dict[str, Any]:
    """Start from the shipped base, export both kinds of graphs and convert with each."""
    steps = ["trainer.steps=3", "trainer.validate_every=3"]
    run(checkout, work, "train.py", "dataset.name=light", "run.name=base", "pretrained=builtin", *TINY, *steps)
    made = {"weights": weights(work, "base")}
    if not extent.has_sound:
        return made
    flavours = "export.flavours=[audio_to_audio,stream]"
    run(checkout, work, "export_onnx.py", "run=runs/base", flavours, *QUICK)
    graph = "exports/base/base_sr24000_hop240_nfft960"
    convert = ["audio=source/0.wav", "threads=[1]"]
    run(checkout, work, "test_model.py", f"onnx={graph}.onnx", *convert, "output=converted/plain.wav")
    controls = ["pitch_shift=4", "index_rate=0.5", "loudness_mix=0.5"]
    run(checkout, work, "test_model.py", f"onnx={graph}.onnx", *convert, *controls, "output=converted/controls.wav")
    return made | {
        "audio": audio_sum(work / "converted" / "plain.wav"),
        "controls": audio_sum(work / "converted" / "controls.wav"),
        "stream": stream_sum(work / f"{graph}_stream.onnx", work / "source" / "0.wav"),
    }


def go_on_with_an_earlier_run(checkout: Path, work: Path, extent: Extent) -> dict[str, Any]:
    """Resume, export and use a run of the toy voice that version 0.1 left behind, with its dataset."""
    folder = work / "earlier"
    with zipfile.ZipFile(EARLIER_RUN) as archive:
        archive.extractall(folder)
    small = ["audio=16k", "model=toy", "augmentation=gain", "data.segment_frames=30", "optim.warmup_steps=1"]
    small += ["discriminator.windows=[128,256]", "discriminator.channels=2", "trainer.validate_every=100"]
    names = ["dataset.name=tiny", "run.name=tiny", "resume=last", f"trainer.steps={EARLIER_STEPS + 8}"]
    run(checkout, folder, "train.py", *names, *TINY, *small)
    made = {"weights": weights(folder, "tiny")}
    if not extent.has_sound:
        return made
    run(checkout, folder, "export_onnx.py", "run=runs/tiny", "checkpoint=last", "retrieval.codebook_size=0", *QUICK)
    graph = "exports/tiny/tiny_sr16000_hop160_nfft640.onnx"
    write_recordings(folder / "source", 190.0, 16000, 1, 2.0)
    run(checkout, folder, "test_model.py", f"onnx={graph}", "audio=source/0.wav", "output=out.wav", "threads=[1]")
    return made | {"audio": audio_sum(folder / "out.wav")}


def machine_class() -> str:
    """Name what decides the order of sums: torch, its vector instructions, onnxruntime."""
    import onnxruntime

    flags = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").is_file() else ""
    more = "+".join(flag for flag in ("avx512_vnni", "avx512_bf16", "amx_tile") if f" {flag}" in flags)
    packages = f"torch {torch.__version__.split('+')[0]}, onnxruntime {onnxruntime.__version__}"
    return f"{torch.backends.cpu.get_cpu_capability()} {more or 'plain'}, {packages}"


CASES = {"light": train_light, "rvc": train_rvc, "base": export_base, "earlier": go_on_with_an_earlier_run}


def take_sums(
    checkout: Path, work: Path, cases: Sequence[str] = tuple(CASES), extent: Extent = Extent()
) -> dict[str, Any]:
    """Return the sums of some cases, by name of the case, made in a folder of their own."""
    needed = [name for name, users in USERS.items() if users & set(cases)]
    if needed:
        prepare(checkout, work, needed)
    return {name: CASES[name](checkout, work, extent) for name in cases}


def main() -> None:
    """Take the sums of a checkout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--write", type=Path, help="JSON file of sums by class of processor; this class is replaced")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if any(options.work.iterdir()):
        parser.error(f"--work {options.work} is not empty: what is there would be taken for what this checkout makes")
    checkout, work = options.checkout.resolve(), options.work.resolve()
    found = take_sums(checkout, work, options.cases)
    text = json.dumps({machine_class(): found}, indent=2)
    if options.write is not None:
        known = json.loads(options.write.read_text("utf-8")) if options.write.is_file() else {}
        text = json.dumps(known | {machine_class(): known.get(machine_class(), {}) | found}, indent=2)
        options.write.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
