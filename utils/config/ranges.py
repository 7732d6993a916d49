"""Ranges of numbers that are not fields of a configuration, such as arguments of pluggable classes."""

from utils.errors import ConfigError

MAX_SEED = 2**32 - 1  # of numpy's generators


def check_range(key: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raise ConfigError naming the key unless the value is a number and low <= value <= high."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{key}={value} must be a number")
    if not low <= value <= high:
        allowed = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise ConfigError(f"{key}={value:g} is out of range; allowed: {allowed}")
