"""What the identity of a content encoder says of its features. Imports nothing."""

from collections.abc import Mapping
from typing import Any

WEIGHTS_HASH = "weights_sha256"
SAME_FEATURES = "same_features_as"  # in an encoder's file and identity: hash of the weights that taught it


def weights_of_features(identity: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the hashes of the weights whose features an encoder gives: its own, and those that it was taught from."""
    return tuple(str(identity[key]) for key in (WEIGHTS_HASH, SAME_FEATURES) if key in identity)
