"""Make the base voice that pretrained=builtin starts from.

    python -m benchmarks.base_voice --run runs/base --output bases

writes the weights of a finished multi-speaker run; models/weights/lite_base.md has all its commands. After a change of
the content encoder that is nearly a linear map of its features (utils/distillation/sharpen.py),

    python -m benchmarks.base_voice --rebase old_content.safetensors --recordings FOLDER --version 4

rewrites the layer that reads the content, so that the shipped base continues where it was: old features are expressed
in new ones by least squares over the recordings. And

    python -m benchmarks.base_voice --narrow 2 --dataset datasets/base --version 6 --output narrow

makes the hidden layers of its blocks twice instead of three times as wide as the blocks, see narrowing.py.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.narrowing import narrow_base
from utils.audio.frames import FEATURE_HOP, FEATURE_RATE, pad_to_frames
from utils.audio.io import load_audio
from utils.console import emit
from utils.errors import ConfigError, WorkbenchError
from utils.evaluation.report import list_audio
from utils.features.content.builtin import BuiltinContent, read_weights
from utils.training.checkpoints import PAYLOAD_KEY, checkpoint_path, read_checkpoint, save_weights

WEIGHTS = Path(__file__).resolve().parents[1] / "models" / "weights"
READING_LAYER = "content_in"
MAX_SECONDS = 10


def from_run(run: Path, which: str, version: str, output: Path) -> None:
    """Write generator and discriminator of a run's checkpoint.

    Args:
        run: folder of the multi-speaker run.
        which: best or last.
        version: recorded in the files.
        output: folder for both files.
    """
    content = read_checkpoint(checkpoint_path(run, which))
    state = content["state_dict"]
    encoder = content[PAYLOAD_KEY]["dataset"]["features"]["content"]["identity"]
    metadata = {
        "version": version,
        "steps": str(int(state["steps_done"])),
        "content_weights_sha256": str(encoder.get("weights_sha256", "")),
    }
    for prefix, name in (("averaged.", "generator"), ("discriminator.", "discriminator")):
        tensors = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        path = output / f"lite_base_{name}.safetensors"
        save_weights(path, tensors, metadata)
        emit(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size / 1e6:.1f} MB")


@torch.no_grad()
def fit_features(old: BuiltinContent, new: BuiltinContent, recordings: Sequence[Path]) -> tuple[Tensor, Tensor, float]:
    """Find the affine map from new to old features.

    Returns:
        Matrix [D_old, D_new], offset [D_old], and the part of the old features' variance that it explains.
    """
    theirs, ours = [], []
    for path in recordings:
        audio = pad_to_frames(load_audio(path, FEATURE_RATE)[: MAX_SECONDS * FEATURE_RATE], FEATURE_HOP)
        theirs.append(torch.from_numpy(old.encode(audio)))
        ours.append(torch.from_numpy(new.encode(audio)))
    wanted, given = torch.cat(theirs).double(), torch.cat(ours).double()
    given = torch.cat([given, torch.ones_like(given[:, :1])], dim=1)
    solution = torch.linalg.lstsq(given, wanted).solution
    error = (wanted - given @ solution).square().sum() / (wanted - wanted.mean(dim=0)).square().sum()
    return solution[:-1].T.float(), solution[-1].float(), 1 - float(error)


def rebase(
    old_weights: Path, new_weights: str, recordings: Sequence[Path], *, base: Path, version: str, output: Path
) -> None:
    """Rewrite a base for another encoder.

    Args:
        old_weights: encoder that the base reads now.
        new_weights: encoder that it shall read, as content.weights.
        recordings: speech in which both encoders are compared.
        base: folder of the base's files.
        version: recorded in the files.
        output: folder for both files.
    Raises:
        ConfigError: if the base does not read the features of old_weights.
    """
    old, new = BuiltinContent(weights=str(old_weights)), BuiltinContent(weights=new_weights)
    matrix, offset, explained = fit_features(old, new, recordings)
    emit(
        f"{len(recordings)} recordings: {100 * explained:.2f} % of the old features' variance is a map of the new ones"
    )
    for name in ("generator", "discriminator"):
        file = f"lite_base_{name}.safetensors"
        metadata, tensors = read_weights(base / file)
        if metadata["content_weights_sha256"] != old.sha256:
            raise ConfigError(f"{file} does not read the features of {old_weights}")
        if name == "generator":
            weight = tensors[f"{READING_LAYER}.weight"].float()  # [C, D, K]
            tensors[f"{READING_LAYER}.weight"] = torch.einsum("cdk,de->cek", weight, matrix)
            shift = torch.einsum("cdk,d->c", weight, offset)
            tensors[f"{READING_LAYER}.bias"] = tensors[f"{READING_LAYER}.bias"].float() + shift
        save_weights(output / file, tensors, metadata | {"version": version, "content_weights_sha256": new.sha256})
        emit(f"{output / file}: {len(tensors)} tensors")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, help="folder of the multi-speaker run")
    source.add_argument("--rebase", type=Path, metavar="WEIGHTS", help="content weights that the base reads")
    source.add_argument(
        "--narrow", type=int, metavar="EXPANSION", help="width of hidden layers as a multiple of the blocks'"
    )
    parser.add_argument(
        "--base", type=Path, default=WEIGHTS, help="folder of the base to change (default: the shipped)"
    )
    parser.add_argument("--dataset", type=Path, help="the base's speakers, for --narrow")
    parser.add_argument("--content", default="content_builtin.safetensors", help="content weights that it shall read")
    parser.add_argument("--recordings", type=Path, help="speech for --rebase")
    parser.add_argument("--checkpoint", default="last", help="best or last")
    parser.add_argument("--version", default="own", help="version recorded in the files (default: own)")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="folder to write to")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        if options.run:
            from_run(options.run, options.checkpoint, options.version, options.output)
            return 0
        if options.narrow is not None:
            if options.dataset is None:
                raise ConfigError("--dataset is missing; give the dataset that the base was trained on")
            lost = narrow_base(
                options.base, options.dataset, options.narrow, version=options.version, output=options.output
            )
            emit(f"{100 * lost:.1f} % of what the blocks add is lost; train on with pretrained.speakers=all")
            return 0
        if options.recordings is None:
            raise ConfigError("--recordings is missing; give a folder of speech")
        recordings = list_audio(options.recordings)
        rebase(
            options.rebase,
            options.content,
            recordings,
            base=options.base,
            version=options.version,
            output=options.output,
        )
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
