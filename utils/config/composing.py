"""Composing configurations with Hydra, and their plain data and text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from utils.config.environment import key_of
from utils.config.places import CONFIG_FOLDER
from utils.config.refusals import explain_override, explain_refusal, explain_value, refuse_before_composing
from utils.config.renamed import refuse_removed
from utils.errors import ConfigError

Composed = DictConfig  # what Hydra hands to a script or a plug-in of its own


def compose(
    config_name: str, overrides: Sequence[str], defaults: Mapping[str, Any], *, with_hydra: bool = False
) -> Composed:
    """Compose the configuration of a script.

    Args:
        config_name: root configuration.
        overrides: as on the command line.
        defaults: of the script's fields.
        with_hydra: keep the "hydra" section.
    Raises:
        ConfigError: if an override names an unknown key or option or has a value of the wrong kind.
    """
    refuse_removed(config_name, overrides)
    refuse_before_composing(config_name, overrides)
    register_defaults(config_name, defaults)
    try:
        return _compose(CONFIG_FOLDER, config_name, overrides, with_hydra=with_hydra)
    except Exception as error:
        if not overrides:  # then it is our own fault
            raise

        def again(others: Sequence[str]) -> Composed:
            return _compose(CONFIG_FOLDER, config_name, others, with_hydra=True)

        # what Hydra cannot take ends in errors of any kind: a missing attribute, a wrong type
        raise ConfigError(explain_refusal(error, config_name, overrides, again)) from error


def compose_file(file: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the plain data of a YAML file of its own, such as the settings of a recipe, changed by overrides.

    Raises:
        ConfigError: if an override names an unknown key or cannot be read.
    """
    from hydra.errors import HydraException

    try:
        return to_plain(_compose(file.parent, file.stem, overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{explain_override(error)} (--help lists the keys)") from error


def register_defaults(config_name: str, defaults: Mapping[str, Any]) -> None:
    """Give Hydra the defaults of a script's fields, which its root in configs/ begins with."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name=f"{config_name}_defaults", node=dict(defaults))


def _compose(folder: Path, name: str, overrides: Sequence[str], *, with_hydra: bool = False) -> Composed:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(folder), version_base="1.3"):
        return hydra_compose(config_name=name, overrides=list(overrides), return_hydra_config=with_hydra)


def resolved(config: Composed) -> dict[str, Any]:
    """Return what a user configured as plain data.

    Raises:
        ConfigError: if a value is made of another, such as ${trainer.steps}, that cannot be had.
    """
    try:
        return to_plain(config)
    except (OmegaConfBaseException, RecursionError, ValueError, TypeError) as error:
        raise ConfigError(explain_value(error, config)) from error


def to_plain(config: Composed) -> dict[str, Any]:
    """Return the fully resolved configuration as plain dictionaries and lists."""
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    if not isinstance(plain, dict):
        raise ConfigError(f"expected a mapping at the top of the configuration, got {type(plain).__name__}")
    return {str(key): value for key, value in plain.items()}


def to_yaml(plain: Mapping[str, Any]) -> str:
    """Return plain data as the YAML that runs and checkpoints store."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(plain)))


def select(plain: Mapping[str, Any], key: str, default: Any = None) -> Any:
    """Return the value of a dotted key of plain data, the default where it is not there or null."""
    node: Any = plain
    for name in key.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return default if node is None else node


def given_keys() -> frozenset[str]:
    """Return the keys that command line and environment set, inside a script's task; none outside of one."""
    from hydra.core.hydra_config import HydraConfig

    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return frozenset(key_of(item) for item in overrides)
