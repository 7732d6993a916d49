"""The content encoder of a voice: its name here and in other programs, and what RVC takes of it."""

import re
from collections.abc import Mapping
from typing import Any

from utils.errors import ConfigError
from utils.rvc.layout import CONTENT_LAYERS

CONTENTVEC = "contentvec"
# the other programs' names of the one file that all of them begin with; our own content=hubert is any HuBERT
CONTENTVEC_NAMES = frozenset({"hubert-base", "content-vec", CONTENTVEC})
# Applio's names of its other encoders -> the options of the group content that open them as its voices hear
OPTIONS = {
    "spin": "spin",
    "spin-v2": "spin_v2",
    "chinese-hubert-base": "chinese_hubert_base",
    "japanese-hubert-base": "japanese_hubert_base",
    "korean-hubert-base": "korean_hubert_base",
}
# w-okada's name of rinna's encoder
OTHER_NAMES = {"hubert-base-japanese": "japanese-hubert-base"}


def encoder_name(name: str) -> str:
    """Return our name of an encoder.

    Applio calls an encoder that it does not come with by its folder, of which the last part is a name.
    """
    last = re.split(r"[\\/]", name.rstrip("\\/"))[-1] or name
    known = last.lower().replace("_", "-")
    if known in CONTENTVEC_NAMES:
        return CONTENTVEC
    known = OTHER_NAMES.get(known, known)
    return known if known in OPTIONS else last


def content_overrides(embedder: str | None, version: str | None, layer: int | None = None) -> str:
    """Return the settings that open an encoder as a voice listens to it, for messages.

    Args:
        embedder: its name, None where it is not known.
        version: "v1" or "v2" of the voice.
        layer: that the voice listens to, None for that of its version.
    """
    option = OPTIONS.get(embedder or "") if version != "v1" else None
    parts = [f"content={option}" if option else "content=contentvec_v1" if version == "v1" else "content=contentvec"]
    if layer not in (None, CONTENT_LAYERS.get(version or "", layer)):
        parts.append(f"content.layer={layer}")
    if embedder not in (None, CONTENTVEC) and not option:
        parts.append(f"content.name={embedder}")
    return " ".join(parts)


def require_published_content(identity: Mapping[str, Any], version: str | None, what: str) -> None:
    """Refuse a voice of other content features than every program computes for its version of RVC.

    Args:
        identity: of the encoder that the voice was trained on; one without layers is not judged.
        version: "v1" or "v2".
        what: the voice, for the message.
    Raises:
        ConfigError: if its layer is another, or it is projected where the version is not, or the reverse.
    """
    layer, wanted = identity.get("layer"), CONTENT_LAYERS.get(version or "")
    if layer is None or wanted is None:
        return
    is_projected = bool(identity.get("is_projected", False))
    if (layer, is_projected) != (wanted, version == "v1"):
        raise ConfigError(
            f"{what} was trained on {_described(layer, is_projected)} of {identity.get('id')}, but every program gives "
            f"RVC {version} {_described(wanted, version == 'v1')}; prepare the dataset with "
            f"{content_overrides(None, version)}, or type export=onnx, whose graph has the encoder inside"
        )


def _described(layer: object, is_projected: bool) -> str:
    return f"layer {layer} {'with' if is_projected else 'without'} projection"
