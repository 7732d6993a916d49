"""The files of So-VITS-SVC 4: what a network is by names and shapes, and what its config.json adds."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from utils.errors import FormatError
from utils.files import read_file
from utils.rvc.quoting import quoted

Bins = Literal["4.0", "4.1"]
Shapes = Mapping[str, tuple[int, ...]]

CONFIG_NAME = "config.json"
OWN_KEY = "voclo_trainer"  # section of what only this workbench writes: the name of the content encoder
MAX_NAME = 200  # characters of a speaker or encoder
MAX_CONFIG_BYTES = 2**20
SIGNS = ("pre.weight", "emb_g.weight", "enc_p.f0_emb.weight", "emb_uv.weight", "dec.conv_pre.weight_v")
SAMPLE_RATE, HOP_LENGTH = 44100, 512
# by the name in config.json: the encoder's name here
ENCODERS = {"vec256l9": "contentvec", "vec768l12": "contentvec"}


@dataclass(frozen=True, kw_only=True)
class SovitsOptions:
    """What names and shapes say about a generator; the names are those of models.sovits.SovitsModel's arguments."""

    use_volume: bool
    predicts_f0: bool
    use_snakes: bool
    shares_flow: bool
    transformer_flow: bool
    is_separable: bool
    hidden_channels: int
    filter_channels: int
    num_heads: int
    num_layers: int
    upsample_channels: int
    speaker_dim: int

    def overrides(self) -> list[str]:
        """Return the settings that compose such a model."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return [f"model.{name}={str(value).lower()}" for name, value in values.items()]

    def __str__(self) -> str:
        words = {
            "use_volume": "volume", "predicts_f0": "pitch decoder", "use_snakes": "snakes",
            "shares_flow": "shared flow", "transformer_flow": "transformer flow",
            "is_separable": "separable convolutions",
        }  # fmt: skip
        return ", ".join(word for name, word in words.items() if getattr(self, name)) or "no options"


@dataclass(frozen=True, kw_only=True)
class SovitsConfig:
    """What a config.json says that the weights do not.

    Attributes:
        bins: of which version, 4.0 or 4.1; a configuration without speech_encoder is one of 4.0 or of the fork.
        embedder: name of the content encoder here, or as the file has it where it is none of ours.
        speakers: names of the rows of the speaker table; rows without one are called by their number.
    """

    bins: Bins
    embedder: str
    speakers: tuple[str, ...]


def is_sovits(names: Iterable[str]) -> bool:
    """Whether the names are those of a generator of So-VITS-SVC 4."""
    found = set(names)
    return all(name in found for name in SIGNS[2:4])


def sovits_options(shapes: Shapes) -> SovitsOptions:
    """Return what a generator is.

    Raises:
        FormatError: if parameters are missing that tell it.
    """
    feed_forward, near = "enc_p.enc_.ffn_layers.0.conv_1.weight", "enc_p.enc_.attn_layers.0.emb_rel_k"
    missing = [name for name in (*SIGNS, feed_forward, near) if len(shapes.get(name, ())) < 2]
    if missing:
        raise FormatError(f"keys of So-VITS-SVC's generator are missing: {', '.join(missing)}")
    hidden, size = shapes["pre.weight"][0], shapes[near][-1]
    layers = {match[1] for name in shapes if (match := re.match(r"enc_p\.enc_\.attn_layers\.(\d{1,3})\.", name))}
    return SovitsOptions(
        use_volume="emb_vol.weight" in shapes,
        predicts_f0=_has(shapes, "f0_decoder."),
        use_snakes=_has(shapes, "dec.snake_post."),
        shares_flow=_has(shapes, "flow.wn."),
        transformer_flow=_has(shapes, "flow.flows.0.enc.self_attn_layers."),
        is_separable=any(".in_layers.0.depth_conv." in name for name in shapes),
        hidden_channels=hidden,
        filter_channels=shapes[feed_forward][0],
        num_heads=max(1, hidden // max(1, size)),
        num_layers=len(layers),
        upsample_channels=shapes["dec.conv_pre.weight_v"][0],
        speaker_dim=shapes["emb_g.weight"][1],
    )


def read_config(voice: Path, shapes: Shapes) -> SovitsConfig | None:
    """Read the config.json beside a generator and check it against the weights; None where there is none.

    Raises:
        FormatError: if it is damaged or contradicts the weights.
    """
    path = voice.parent / CONFIG_NAME
    if not path.is_file():
        return None
    content = read_json(path)
    model, data = section_of(content, "model", path), section_of(content, "data", path)
    for key, section, wanted in (
        ("sampling_rate", data, SAMPLE_RATE),
        ("hop_length", data, HOP_LENGTH),
        ("ssl_dim", model, shapes["pre.weight"][1]),
        ("gin_channels", model, shapes["emb_g.weight"][1]),
        ("vol_embedding", model, "emb_vol.weight" in shapes),
    ):
        found = section.get(key, wanted)
        if found != wanted:
            raise FormatError(
                f"{path} says {key} {quoted(found)}, {voice.name} has {wanted}; give the two that belong together"
            )
    encoder = model.get("speech_encoder")
    if encoder is not None and not isinstance(encoder, str):
        raise FormatError(f"{path}: speech_encoder should be a text, found {quoted(encoder)}")
    known = encoder or ("vec256l9" if shapes["pre.weight"][1] == 256 else "vec768l12")
    own = content.get(OWN_KEY)
    recorded = own.get("embedder") if isinstance(own, dict) else None
    is_name = isinstance(recorded, str) and recorded.isprintable() and 0 < len(recorded) <= MAX_NAME
    return SovitsConfig(
        bins="4.1" if encoder else "4.0",
        embedder=str(recorded) if is_name else ENCODERS.get(known, known[:MAX_NAME]),
        speakers=_speakers(content.get("spk"), shapes["emb_g.weight"][0], path),
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a config.json; raise FormatError in one line if it is none."""
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise FormatError(f"{path} has {path.stat().st_size} bytes; it is no configuration of a voice")
    try:
        content = json.loads(read_file(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is no JSON; get it again") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path} holds {quoted(content)} instead of sections; it is no configuration of a voice")
    return content


def section_of(content: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    """Return a section of a config.json; raise FormatError in one line if it has none."""
    section = content.get(key)
    if not isinstance(section, dict):
        raise FormatError(f"{path}: its section {key!r} is {quoted(section)}; it is no configuration of a voice")
    return section


def _speakers(spk: Any, rows: int, path: Path) -> tuple[str, ...]:
    if spk is None:
        return ()
    if not isinstance(spk, dict):
        raise FormatError(f"{path}: spk should name the speakers, found {quoted(spk)}")
    names: dict[int, str] = {}
    for name, row in spk.items():
        if type(row) is not int or not 0 <= row < rows or len(name) > MAX_NAME or not name.isprintable():
            raise FormatError(f"{path}: spk has {quoted(name)} in row {quoted(row)} of a table of {rows}")
        names[row] = name
    return tuple(names.get(row, f"row {row}") for row in range(max(names, default=-1) + 1))


def _has(shapes: Shapes, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in shapes)
