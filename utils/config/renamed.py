"""Classes that a configuration of an earlier version names by another path, as checkpoints and datasets keep them."""

from typing import Any

MODULES = {
    "utils.corpus.changes": "utils.corpus.voice_augmentation",
    "utils.distillation.teacher_content": "recipes.content_encoder.teacher_content",
}


def current_target(target: str) -> str:
    """Return where the class of a `_target_` stands now."""
    module, _, name = target.rpartition(".")
    return f"{MODULES.get(module, module)}.{name}"


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
