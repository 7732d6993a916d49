"""Make the base voice that pretrained=builtin starts from.

    python -m recipes.base_voice.make_base --run runs/base --output bases

writes the weights of a finished multi-speaker run; models/weights/lite_base.md has all its commands. After a change of
the content encoder that is nearly a linear map of its features (recipes/content_encoder/sharpen.py),

    python -m recipes.base_voice.make_base --rebase old_content.safetensors --recordings FOLDER --version 4 \
        --output bases

rewrites the layer that reads the content, so that the shipped base continues where it was: old features are expressed
in new ones by least squares over the recordings. And

    python -m recipes.base_voice.make_base --narrow 2 --dataset datasets/base --version 6 --output narrow

makes the hidden layers of its blocks twice instead of three times as wide as the blocks, see narrowing.py.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from recipes.base_voice.narrow import NETWORKS, base_file, narrow_base
from utils.audio.frames import FEATURE_HOP, FEATURE_RATE, FRAME_RATE, pad_to_frames
from utils.audio.io import load_audio
from utils.audio.listing import list_audio
from utils.console import emit
from utils.errors import ConfigError, DataError, WorkbenchError
from utils.features.content.builtin import BuiltinContent, read_weights
from utils.files import check_new_folder
from utils.training.checkpoints import checkpoint_path, read_checkpoint, save_weights, trained_dataset, voice_state
from utils.training.pretrained import CONTENT_HASH, CONTENT_IDENTITY, content_identity

WEIGHTS = Path(__file__).resolve().parents[2] / "models" / "weights"
DISCRIMINATOR = "discriminator."  # of the keys in a checkpoint
READING_LAYER = "content_in"
MAX_SECONDS = 10
FOLDS = 5  # one recording of so many judges the map between encoders


def from_run(run: Path, which: str, version: str, output: Path) -> None:
    """Write generator and discriminator of a run's checkpoint.

    Args:
        run: folder of the multi-speaker run.
        which: best or last.
        version: recorded in the files.
        output: folder for both files.
    Raises:
        ConfigError: if the checkpoint is absent or has no discriminator.
        FormatError: if it is damaged.
    """
    path = checkpoint_path(run, which)
    content = read_checkpoint(path)
    state = content["state_dict"]
    encoder = trained_dataset(content).content.identity
    metadata = {
        "version": version,
        "steps": str(int(state["steps_done"])),
        CONTENT_HASH: str(encoder.get("weights_sha256", "")),
        CONTENT_IDENTITY: content_identity(encoder),
    }
    networks = {
        "generator": voice_state(state),
        "discriminator": {
            key.removeprefix(DISCRIMINATOR): value for key, value in state.items() if key.startswith(DISCRIMINATOR)
        },
    }
    empty = [name for name, tensors in networks.items() if not tensors]
    if empty:
        raise ConfigError(f"{path} has no {empty[0]}; a base voice is a generator with a discriminator")
    for name, tensors in networks.items():
        file = output / base_file(name)
        save_weights(file, tensors, metadata)
        emit(f"{file}: {len(tensors)} tensors, {file.stat().st_size / 1e6:.1f} MB")


@torch.no_grad()
def fit_features(old: BuiltinContent, new: BuiltinContent, recordings: Sequence[Path]) -> tuple[Tensor, Tensor, float]:
    """Find the affine map from new to old features on four of five recordings.

    Returns:
        Matrix [D_old, D_new], offset [D_old], and the part of the others' variance (of old features) that it explains.
    Raises:
        DataError: if there is too little speech for so many unknowns.
    """
    theirs, ours = [], []
    for path in recordings:
        audio = pad_to_frames(load_audio(path, FEATURE_RATE)[: MAX_SECONDS * FEATURE_RATE], FEATURE_HOP)
        theirs.append(torch.from_numpy(old.encode(audio)))
        ours.append(torch.from_numpy(new.encode(audio)))
    # features change slowly: a tenth of the frames, at most, says something of its own
    num_frames, needed = sum(map(len, ours)), 10 * (new.dim + 1)
    if len(recordings) < FOLDS or num_frames < needed:
        raise DataError(
            f"{len(recordings)} recording(s) with {num_frames / FRAME_RATE:.0f} s of speech are too little to "
            f"compare encoders; give at least {FOLDS} with {needed / FRAME_RATE:.0f} s, better many minutes"
        )
    apart = range(0, len(recordings), FOLDS)
    kept = [index for index in range(len(recordings)) if index not in apart]
    given, wanted = (torch.cat([parts[index] for index in kept]).double() for parts in (ours, theirs))
    solution = torch.linalg.lstsq(torch.cat([given, torch.ones_like(given[:, :1])], dim=1), wanted).solution
    matrix, offset = solution[:-1].T, solution[-1]
    given, wanted = (torch.cat([parts[index] for index in apart]).double() for parts in (ours, theirs))
    error = (wanted - given @ matrix.T - offset).square().sum() / (wanted - wanted.mean(dim=0)).square().sum()
    return matrix.float(), offset.float(), 1 - float(error)


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
        DataError: if there is too little speech.
    """
    old, new = BuiltinContent(weights=str(old_weights)), BuiltinContent(weights=new_weights)
    files = {name: read_weights(base / base_file(name)) for name in NETWORKS}
    for name, (metadata, _) in files.items():
        if metadata.get(CONTENT_HASH) != old.sha256:
            raise ConfigError(f"{base_file(name)} does not read the features of {old_weights}")
    matrix, offset, explained = fit_features(old, new, recordings)
    emit(
        f"{len(recordings)} recordings: {100 * explained:.2f} % of the old features' variance is a map of the new ones "
        "(on every fifth recording)"
    )
    reading = files["generator"][1]
    weight = reading[f"{READING_LAYER}.weight"].float()  # [C, D, K]
    reading[f"{READING_LAYER}.weight"] = torch.einsum("cdk,de->cek", weight, matrix)
    shift = torch.einsum("cdk,d->c", weight, offset)
    reading[f"{READING_LAYER}.bias"] = reading[f"{READING_LAYER}.bias"].float() + shift
    for name, (metadata, tensors) in files.items():
        path = output / base_file(name)
        named = {CONTENT_HASH: new.sha256, CONTENT_IDENTITY: content_identity(new.identity)}
        save_weights(path, tensors, metadata | {"version": version} | named)
        emit(f"{path}: {len(tensors)} tensors")


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
    parser.add_argument(
        "--output", type=Path, required=True, help="folder to write to; an earlier base is never replaced"
    )
    options = parser.parse_args(arguments)
    try:
        check_new_folder(options.output, "--output")
        for name in NETWORKS:
            if (options.output / base_file(name)).exists():
                raise ConfigError(f"--output {options.output} holds a {base_file(name)} already; give another folder")
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
