"""The shares of a blend, as they are typed: {a.pth: 0.6, b.pth: 0.4}."""

import re

from utils.errors import ConfigError

EXAMPLE = '"blend={a.pth: 0.6, b.pth: 0.4}"'
# a name may have colons and commas inside, such as C:\a.pth: what ends it is a colon with a number behind
_SHARE = re.compile(r"\s*(?P<name>\S.*?)\s*:\s*(?P<share>[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*(?:,|\Z)")
_ROUNDING = 1e-3  # of thirds that are typed with three digits


def read_shares(text: str) -> dict[str, float]:
    """Return the shares by name, in the order in which they are typed; their sum is exactly one.

    Raises:
        ConfigError: in one line, if it is not two names or more with shares of 0 to 1 whose sum is 1.
    """
    inner = text.strip().removeprefix("{").removesuffix("}")
    shares: dict[str, float] = {}
    place = 0
    while inner[place:].strip():
        found = _SHARE.match(inner, place)
        if found is None:
            raise ConfigError(f"blend={text} cannot be read from {inner[place:].strip()!r} on; type {EXAMPLE}")
        name, place = found["name"].strip("'\""), found.end()
        if name in shares:
            raise ConfigError(f"blend={text} names {name} twice; give each voice one share")
        shares[name] = float(found["share"])
        if not 0.0 <= shares[name] <= 1.0:
            raise ConfigError(f"blend={text}: the share of {name} is {shares[name]:g}; allowed: 0 to 1")
    if len(shares) < 2:
        raise ConfigError(
            f"blend={text} names {len(shares)} voice(s); give two or more, in quotes because of the shell: {EXAMPLE}"
        )
    total = sum(shares.values())
    if abs(total - 1.0) > _ROUNDING:
        raise ConfigError(f"blend={text}: the shares sum to {total:g}; they must sum to 1")
    return {name: share / total for name, share in shares.items()}
