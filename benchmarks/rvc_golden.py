"""Compare our RVC networks with recorded numbers of the public implementation.

    python -m benchmarks.rvc_golden <folder>

Files rvc_<version>_<rate>_<f0|nof0>.npz, discriminator_<version>.npz and spectrograms.npz of the folder hold inputs and
outputs of networks whose weights are a formula of their names, with all noise switched off. Printed is the largest
difference of each array over its largest value, each array that a file of its kind must have and this one lacks, and
each .npz file of another name; the exit code is 1 if a difference exceeds 1e-4 or an array is missing.
"""

import math
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.options import BenchmarkParser
from utils.audio.spectral import PUBLISHED_OFFSET, Stft
from utils.command_line import run_program
from utils.config.train import train_job
from utils.console import emit, table
from utils.errors import DataError, FormatError
from utils.training.losses import PublishedMelLoss

TOLERANCE = 1e-4
NUM_SPEAKERS = 109
GENERATOR = re.compile(r"rvc_(v\d+)_(\d+k)_(f0|nof0)")
DISCRIMINATOR = re.compile(r"discriminator_(v\d+)")
NAMES = "rvc_<version>_<rate>_<f0|nof0>.npz, discriminator_<version>.npz or spectrograms.npz"
Arrays = Mapping[str, np.ndarray]


class Checked(NamedTuple):
    """What a file records: (array, relative error) of everything in it, and what it lacks."""

    errors: list[tuple[str, float]]
    missing: list[str]


def published_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that the recorded networks have, for names and shapes as published."""
    weights = {}
    for key, value in state.items():
        values = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(size=tuple(value.shape))
        if key.endswith(("weight_g", ".gamma")):
            values = 1 + 0.1 * values
        elif key.endswith((".bias", ".beta")):
            values = 0.02 * values
        elif key.startswith("emb_g") or "emb_pitch" in key:
            values = 0.3 * values
        else:
            values = values / math.sqrt(math.prod(value.shape[1:]))
        weights[key] = torch.from_numpy(values.astype(np.float32))
    return weights


def relative_error(found: Tensor, expected: np.ndarray, stride: int = 1) -> float:
    """Return max |found - expected| / max |expected|; infinite if shapes differ, NaN if a value is.

    Args:
        found: the array made here; leading axes of length 1 do not count.
        expected: the recorded one.
        stride: more than 1 if `expected` holds every stride-th value of the flattened array.
    """
    ours = found.detach().double().numpy()
    ours = ours.ravel()[::stride] if stride > 1 else ours
    theirs = expected.astype(np.float64)
    if ours.squeeze().shape != theirs.squeeze().shape:
        return math.inf
    return float(np.abs(ours.squeeze() - theirs.squeeze()).max() / np.abs(theirs).max())


@torch.no_grad()
def generator_errors(arrays: Arrays, version: str, rate: str, use_f0: bool) -> Iterator[tuple[str, float]]:
    """Yield (array, relative error) for the outputs of a generator that a file holds."""
    overrides = [f"audio=rvc_{rate}", f"model=rvc_{version}_{rate}", f"model.use_f0={str(use_f0).lower()}"]
    node = train_job(overrides).model
    content = torch.from_numpy(arrays["phone"])
    voice = node.build(content_dim=content.shape[2], num_speakers=NUM_SPEAKERS).eval()
    voice.load_state_dict(published_weights(voice.state_dict()))
    frames = content.shape[1]
    f0_hz = torch.from_numpy(arrays["f0"]) if "f0" in arrays else torch.zeros(1, frames)
    speaker_id = torch.from_numpy(arrays["speaker"])
    speaker = voice.emb_g(speaker_id).unsqueeze(-1)
    silent_prior = torch.zeros(1, voice.hidden_channels, frames)
    silent_source = torch.zeros(1, frames * voice.hop_length)
    made = voice.convert(content, f0_hz, speaker_id, prior_noise=silent_prior, source_noise=silent_source)
    posterior = voice.enc_q(torch.from_numpy(arrays["spec"]), speaker)
    found = {
        "prior_mean": made.prior.mean,
        "prior_log_std": made.prior.log_std,
        "latent": made.latent,
        "audio": made.audio,
        "posterior_mean": posterior.mean,
        "posterior_log_std": posterior.log_std,
        "flow_forward": voice.flow(posterior.mean, speaker),
        "reconstruction": voice.dec(posterior.mean, f0_hz, speaker, silent_source),
    }
    # coarse, the pitch in bins, follows from f0
    yield from _errors(found, arrays, inputs={"phone", "f0", "coarse", "spec", "speaker"})


@torch.no_grad()
def discriminator_errors(arrays: Arrays, version: str) -> Iterator[tuple[str, float]]:
    """Yield (array, relative error) for scores and mean feature maps of a discriminator."""
    discriminator = train_job([f"discriminator=rvc_{version}"]).discriminator.build().eval()
    discriminator.load_state_dict(published_weights(discriminator.state_dict()))
    found = {}
    for kind in ("real", "fake"):
        output = discriminator(torch.from_numpy(arrays[kind]).flatten(1))
        for number, (score, features) in enumerate(zip(output.scores, output.features, strict=True)):
            found[f"score_{kind}_{number}"] = score
            means = [layer.double().abs().mean() for layer in features]
            found[f"feature_mean_abs_{kind}_{number}"] = torch.stack(means)
    yield from _errors(found, arrays, inputs={"real", "fake"})


@torch.no_grad()
def spectrum_errors(arrays: Arrays) -> Iterator[tuple[str, float]]:
    """Yield (array, relative error) for the linear and log-mel spectrograms of each rate that a file holds."""
    found = {}
    rates = [key.removeprefix("wave_") for key in arrays if key.startswith("wave_")]
    for rate in rates:
        audio = train_job([f"audio=rvc_{rate}"]).audio
        wave = torch.from_numpy(arrays[f"wave_{rate}"])[None]
        stft = Stft(audio.n_fft, audio.hop_length, padding="reflect")
        found[f"linear_{rate}"] = stft.magnitude(wave, PUBLISHED_OFFSET)[:, :, :20]
        found[f"mel_{rate}"] = PublishedMelLoss(audio).mel(wave)
    yield from _errors(found, arrays, inputs={f"wave_{rate}" for rate in rates})


def _errors(found: Mapping[str, Tensor], arrays: Arrays, inputs: set[str]) -> Iterator[tuple[str, float]]:
    unknown = sorted(set(arrays) - set(found) - inputs - {"stride"})
    if unknown:
        raise FormatError(f"arrays {', '.join(unknown)} are none that this network makes")
    stride = int(arrays["stride"]) if "stride" in arrays else 1
    for name, value in found.items():
        yield name, relative_error(value, arrays[name], stride) if name in arrays else math.nan


def missing_inputs(arrays: Arrays, stem: str) -> list[str]:
    """Return the inputs without which nothing of a file can be made, by its kind."""
    if generator := GENERATOR.fullmatch(stem):
        needed = ["phone", "spec", "speaker", *["f0"] * (generator.group(3) == "f0")]
    elif DISCRIMINATOR.fullmatch(stem):
        needed = ["real", "fake"]
    else:
        rates = {name.partition("_")[2] for name in arrays if name.startswith(("wave_", "linear_", "mel_"))}
        needed = [f"wave_{rate}" for rate in sorted(rates)] or ["wave_<rate>"]
    return [name for name in needed if name not in arrays]


def check_file(path: Path) -> Checked:
    """Compare everything that a file records, and list what it lacks.

    Raises:
        FormatError: if the file is damaged or holds other arrays.
        ConfigError: if there is no configuration of that version and rate.
    """
    try:
        with np.load(path) as content:
            arrays = {name: content[name] for name in content.files}
        if missing := missing_inputs(arrays, path.stem):
            return Checked([], missing)
        if generator := GENERATOR.fullmatch(path.stem):
            version, rate, pitch = generator.groups()
            errors = list(generator_errors(arrays, version, rate, pitch == "f0"))
        elif discriminator := DISCRIMINATOR.fullmatch(path.stem):
            errors = list(discriminator_errors(arrays, discriminator.group(1)))
        else:
            errors = list(spectrum_errors(arrays))
        missing = [name for name, _ in errors if name not in arrays]
        return Checked([(name, error) for name, error in errors if name in arrays], missing)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path} is damaged ({str(error).splitlines()[0]}); copy it again") from error
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def golden_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of recorded numbers in a folder, and other .npz files there.

    Raises:
        DataError: if there is none of the first.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the one with the files rvc_<version>_<rate>_<f0|nof0>.npz")
    everything = sorted(folder.glob("*.npz"))
    found = [
        path
        for path in everything
        if GENERATOR.fullmatch(path.stem) or DISCRIMINATOR.fullmatch(path.stem) or path.stem == "spectrograms"
    ]
    if not found:
        raise DataError(f"{folder} holds no recorded numbers; needed: {NAMES}")
    return found, [path for path in everything if path not in found]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("rvc_golden", __doc__)
    parser.add_argument("folder", type=Path, help="folder of the recorded numbers")
    options = parser.parse_args(arguments)
    return run_program("rvc_golden", lambda: check_folder(options.folder))


def check_folder(folder: Path) -> int:
    """Compare all files of a folder and print the tables; return the exit code."""
    rows: list[tuple[str, str, float]] = []
    num_missing = 0
    files, others = golden_files(folder)
    for path in others:
        emit(f"skipped {path.name}: its name is none of {NAMES}")
    for path in files:
        errors, missing = check_file(path)
        rows += [(path.stem, name, error) for name, error in errors]
        num_missing += len(missing)
        emit(table([[path.stem, name, error] for name, error in errors], ["file", "array", "relative error"]))
        for name in missing:
            emit(f"missing: {path.name} lacks {name}")
        emit()
    wrong = [f"{file} {name}" for file, name, error in rows if not error <= TOLERANCE]  # NaN is wrong too
    worst = max((error for *_, error in rows), default=math.nan)
    emit(f"{len(rows)} arrays, largest relative error {worst:.2g}, allowed {TOLERANCE:g}; {num_missing} missing")
    if wrong:
        emit(f"over it: {', '.join(wrong)}")
    return 1 if wrong or num_missing else 0


if __name__ == "__main__":
    sys.exit(main())
