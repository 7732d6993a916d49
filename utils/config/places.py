"""Where the configuration stands, and which script it belongs to."""

from functools import cache
from pathlib import Path

import yaml

CONFIG_FOLDER = Path(__file__).resolve().parents[2] / "configs"
SCRIPTS = {"export": "export_onnx"}  # configuration name -> script, where they differ


def script_of(config_name: str) -> str:
    """Return the file of the script that a root configuration belongs to."""
    return f"{SCRIPTS.get(config_name, config_name)}.py"


@cache
def groups_of_root(config_name: str) -> tuple[str, ...]:
    """Return the groups that a root configuration chooses from."""
    content = yaml.safe_load((CONFIG_FOLDER / f"{config_name}.yaml").read_text(encoding="utf-8"))
    return tuple(str(next(iter(item))) for item in content["defaults"] if isinstance(item, dict))


def is_group(config_name: str, key: str) -> bool:
    """Whether a key is a configuration group of a script, such as model or optim/schedule; none of Hydra's own."""
    root = key.partition("/")[0]
    return root != "hydra" and root in groups_of_root(config_name) and (CONFIG_FOLDER / key).is_dir()


def options_of(group: str) -> list[str]:
    """Return the options of a group."""
    return sorted(path.stem for path in (CONFIG_FOLDER / group).glob("*.yaml"))
