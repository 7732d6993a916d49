"""Rewrite a base voice for a new content encoder whose features are nearly a linear map of the old ones.

Old features are expressed in new ones by least squares over recordings, and the layer that reads the content takes the
map over: the base continues where it was (see recipes/content_encoder/sharpen.py for such a change of the encoder).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from recipes.base_voice.base_files import NETWORKS, base_file
from utils.audio.frames import FEATURE_HOP, FEATURE_RATE, FRAME_RATE, pad_to_frames
from utils.audio.io import load_audio
from utils.console import emit
from utils.errors import ConfigError, DataError
from utils.features.content.builtin import BuiltinContent, read_weights
from utils.training.checkpoints import save_weights
from utils.training.pretrained import CONTENT_HASH, CONTENT_IDENTITY, content_identity

READING_LAYER = "content_in"
MAX_SECONDS = 10
FOLDS = 5  # one recording of so many tells how good the map between encoders is


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
