"""The files of VITS as a voice converter: what a network is by names and shapes, and what its config.json adds.

A published file also reads text, which a conversion has no use for: these parameters are left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from utils.errors import FormatError
from utils.rvc.quoting import quoted
from utils.rvc.sovits import CONFIG_NAME, MAX_NAME, read_json, section_of

Value = TypeVar("Value")
Shapes = Mapping[str, tuple[int, ...]]

SAMPLE_RATE, HOP_LENGTH = 22050, 256
UPSAMPLE_RATES = [8, 8, 2, 2]
TEXT_SIGN = "enc_p.emb.weight"  # the table of letters
TEXT_PARTS = ("enc_p.", "dp.")  # what reads text, and what says how long each letter lasts
SIGNS = ("emb_g.weight", "enc_q.pre.weight", "flow.flows.0.pre.weight", "dec.conv_pre.weight")


@dataclass(frozen=True, kw_only=True)
class VitsOptions:
    """What names and shapes say about a network; the names are those of models.vits.VitsVoice's arguments."""

    n_fft: int
    hidden_channels: int
    upsample_channels: int
    speaker_dim: int

    def overrides(self) -> list[str]:
        """Return the settings that compose such a model."""
        return [f"model.{item.name}={getattr(self, item.name)}" for item in fields(self)]


def is_vits(names: Iterable[str]) -> bool:
    """Whether the names are those of VITS, with or without what reads text."""
    found = set(names)
    has_prior = any(name.startswith(TEXT_PARTS[0]) for name in found)
    return TEXT_SIGN in found or (not has_prior and "pre.weight" not in found and SIGNS[1] in found)


def without_text(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return what converts speech."""
    return {name: value for name, value in values.items() if not name.startswith(TEXT_PARTS)}


def vits_options(shapes: Shapes) -> VitsOptions:
    """Return what a network is.

    Raises:
        FormatError: if parameters are missing that tell it, as in a voice of one speaker.
    """
    if TEXT_SIGN in shapes and SIGNS[0] not in shapes:
        raise FormatError("it is a VITS voice of one speaker, which has nobody to convert from; take one of several")
    missing = [name for name in SIGNS if len(shapes.get(name, ())) < 2]
    if missing:
        raise FormatError(f"keys of VITS are missing: {', '.join(missing)}")
    hidden, num_bins = shapes["enc_q.pre.weight"][:2]
    return VitsOptions(
        n_fft=2 * (num_bins - 1),
        hidden_channels=hidden,
        upsample_channels=shapes["dec.conv_pre.weight"][0],
        speaker_dim=shapes["emb_g.weight"][1],
    )


def read_vits_speakers(voice: Path, shapes: Shapes) -> tuple[str, ...] | None:
    """Check the config.json beside a network and return the names of its speakers; None where there is none.

    Raises:
        FormatError: if it is damaged, contradicts the weights, or is that of another rate.
    """
    path = voice.parent / CONFIG_NAME
    if not path.is_file():
        return None
    content = read_json(path)
    model, data = section_of(content, "model", path), section_of(content, "data", path)
    rows, speaker_dim = shapes["emb_g.weight"]
    for key, section, wanted in (
        ("sampling_rate", data, SAMPLE_RATE),
        ("hop_length", data, HOP_LENGTH),
        ("filter_length", data, vits_options(shapes).n_fft),
        ("n_speakers", data, rows),
        ("gin_channels", model, speaker_dim),
        ("upsample_rates", model, UPSAMPLE_RATES),
    ):
        found = section.get(key, wanted)
        if found != wanted:
            raise FormatError(
                f"{path} says {key} {quoted(found)}, {voice.name} needs {wanted}; give the two that belong together "
                f"(voices at {SAMPLE_RATE} Hz are read)"
            )
    return _names(content.get("speakers", content.get("spk")), rows, path)


def _names(said: Any, rows: int, path: Path) -> tuple[str, ...]:
    """Return the names of all rows; the published configurations have none, others a list or a table of names."""
    pairs = list(enumerate(said)) if isinstance(said, list) else []
    if isinstance(said, dict):
        pairs = [(row, name) for name, row in said.items()]
    names: dict[int, str] = {}
    for row, name in pairs:
        is_name = isinstance(name, str) and len(name) <= MAX_NAME and name.isprintable()
        if not is_name or type(row) is not int or not 0 <= row < rows:
            raise FormatError(f"{path}: speakers has {quoted(name)} in row {quoted(row)} of a table of {rows}")
        names[row] = name
    return tuple(names.get(row, f"row {row}") for row in range(rows))
