"""The range of the trackers' thresholds."""

from utils.errors import ConfigError


def require_share(key: str, value: float) -> None:
    """Raise ConfigError, naming the key of the configuration, unless a threshold is a number between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{key}={value} must be a number between 0 and 1")
    if not 0 <= value <= 1:
        raise ConfigError(f"{key}={value:g} is out of range; allowed: between 0 and 1")
