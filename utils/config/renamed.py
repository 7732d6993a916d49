"""Names of earlier versions: keys that users type, and classes that checkpoints and datasets name by another path."""

from collections.abc import Sequence
from typing import Any

from utils.errors import ConfigError

KEYS = {"export.flavours": "export.graph_kinds"}
_CONTENT_ENCODER = "train.py trains voices; for a content encoder type python -m recipes.content_encoder"
_MIX = (
    "a mix of speakers is exported as one speaker more, which is then chosen as any other; type python export_onnx.py "
    'run=<run> "blend={anna: 0.5, bert: 0.5}" name=between'
)
_MIXES = dict.fromkeys(("speaker_mix", "spk_mix", "use_spk_mix"), _MIX)
# configuration -> key, or group=option, of earlier versions and other programs -> what to do instead
REMOVED = {
    "train": {"task": _CONTENT_ENCODER, "experiment=content_encoder": _CONTENT_ENCODER},
    "test_model": _MIXES,
    "export": _MIXES,
}
MODULES = {
    "utils.corpus.changes": "utils.corpus.voice_augmentation",
    "utils.distillation.teacher_content": "recipes.content_encoder.teacher_content",
}
CLASSES = {
    "models.lite.LiteStreamVoice": "models.lite_stream.LiteStreamVoice",
    "models.rvc.RvcVoice": "models.rvc.RVCModel",
}


def current_target(target: str) -> str:
    """Return where the class of a `_target_` stands now."""
    module, _, name = target.rpartition(".")
    return CLASSES.get(target, f"{MODULES.get(module, module)}.{name}")


def first_class_name(target: str) -> str:
    """Return the name that a class had at first: the default name of a run's folder has it, and must not change."""
    earlier = {now: before for before, now in CLASSES.items()}
    return earlier.get(target, target).rpartition(".")[2]


def with_current_targets(value: Any) -> Any:
    """Return plain data with every `_target_`, nested or in flat keys such as `model._target_`, as it is named now."""
    if isinstance(value, dict):
        return {
            key: current_target(item)
            if isinstance(item, str) and str(key).rpartition(".")[2] == "_target_"
            else with_current_targets(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [with_current_targets(item) for item in value]
    return value


def refuse_removed(config_name: str, overrides: Sequence[str]) -> None:
    """Refuse keys and options that a script no longer has.

    Raises:
        ConfigError: one line that says what to do instead.
    """
    removed = REMOVED.get(config_name, {})
    for item in overrides:
        plain = item.lstrip("+~")
        remedy = removed.get(plain.partition("=")[0]) or removed.get(plain)
        if remedy:
            raise ConfigError(f"{item}: {remedy}")


def with_current_keys(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return overrides with keys as they are named now, and a line for each that was named otherwise."""
    current, notes = [], []
    for item in overrides:
        key, separator, value = item.partition("=")
        name = key.lstrip("+~")
        if name in KEYS:
            notes.append(f"{name} is named {KEYS[name]} now")
            item = f"{key.removesuffix(name)}{KEYS[name]}{separator}{value}"
        current.append(item)
    return current, notes
