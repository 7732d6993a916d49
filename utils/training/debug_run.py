"""A run of the group debug may take the place of the one before it."""

import shutil
from pathlib import Path

from utils.config import select
from utils.config.stored_text import read_yaml_file
from utils.errors import ConfigError
from utils.training.devices import is_first_process
from utils.training.run_lock import LOCK_FILE


def remove_debug_run(folder: Path) -> None:
    """Remove what an earlier run left that was made to be replaced; the first process does it for all.

    Args:
        folder: of the run, locked.
    Raises:
        ConfigError: if the run there was not made to be replaced.
    """
    if not is_first_process() or not any(folder.glob("checkpoints/*.ckpt")):
        return
    described = folder / "config.yaml"
    stored = read_yaml_file(described) if described.is_file() else {}
    if select(stored, "run.replace", False) is not True:
        raise ConfigError(f"run.replace=true: {folder} was not made with it; type run.name=<new name>")
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK_FILE:
            path.unlink()
