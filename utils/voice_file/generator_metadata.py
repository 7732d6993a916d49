"""Our own JSON inside a generator's graph for another program. Plain data, imports no torch."""

import json
from collections.abc import Mapping
from typing import Any

from utils.errors import FormatError

SCHEMA_VERSION = 2  # 2: encoder_identity, pitch, dataset_fingerprint, metrics
KEYS = {
    1: ("name", "dialect", "precision", "content_dim", "channels", "has_f0", "sample_rate", "num_speakers", "speakers",
        "encoder", "f0_convention", "step", "licence", "consent", "created", "config"),
    2: ("encoder_identity", "pitch", "dataset_fingerprint", "metrics"),
}  # fmt: skip


def generator_metadata_from_json(text: str, source: str) -> dict[str, Any]:
    """Read what a generator's graph says of itself.

    Args:
        text: the JSON stored in the graph under OWN_KEY.
        source: file named in errors.
    Raises:
        FormatError: if it is not JSON, was written by a later version, or lacks a key of its version.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{source}: its metadata is not JSON ({error}); export the voice again") from error
    version = values.get("schema_version") if isinstance(values, Mapping) else None
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise FormatError(
            f"{source}: metadata has schema_version {version!r}, this program reads 1 to {SCHEMA_VERSION}; "
            "use the version that exported it or export again"
        )
    missing = [key for first, keys in KEYS.items() if first <= version for key in keys if key not in values]
    if missing:
        raise FormatError(f"{source}: its metadata is incomplete (no {missing[0]}); export the voice again")
    return dict(values)
