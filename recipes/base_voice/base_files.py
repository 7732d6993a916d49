"""The files of a base voice: weights of generator and discriminator, written from a finished run."""

from pathlib import Path

from utils.console import emit
from utils.errors import ConfigError
from utils.training.checkpoint_checks import stored_dataset
from utils.training.checkpoints import checkpoint_path, read_checkpoint, save_weights, voice_state
from utils.training.pretrained import CONTENT_HASH, CONTENT_IDENTITY, content_identity

NETWORKS = ("generator", "discriminator")
DISCRIMINATOR = "discriminator."  # of the keys in a checkpoint


def base_file(network: str) -> str:
    """Return the file name of a base's generator or discriminator."""
    return f"lite_base_{network}.safetensors"


def write_from_run(run: Path, which: str, version: str, output: Path) -> None:
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
    encoder = stored_dataset(content, path).content.identity
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
