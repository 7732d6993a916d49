"""A shared voice as a safetensors file: the weights of a .pth, its other fields as text beside them.

That is what deiteris' voice changer makes of every .pth that it is given: lists and sections become JSON, others text.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from utils.errors import FormatError
from utils.rvc.quoting import shown_name

SUFFIX = ".safetensors"
IN_JSON = ("config", "voclo_trainer", "speaker_info")
FIELD = "config"  # without it nobody knows the rate
MAX_TEXT = 2**20
NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_safetensors_voice(path: Path) -> dict[str, Any]:
    """Read the file as what it was made of: the dictionary of a shared .pth.

    Raises:
        FormatError: one line with the reason, if the file is missing, damaged, or has no fields of a voice.
    """
    if not path.is_file():
        raise FormatError(f"{path} is not a file; give the path of a .pth or {SUFFIX} file")
    try:
        with safe_open(str(path), framework="pt") as stream:
            fields: dict[str, Any] = dict(stream.metadata() or {})
            weights = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - no dictionary
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise FormatError(f"{path} is a damaged safetensors file, or none ({reason}); get it again") from error
    if FIELD not in fields:
        raise FormatError(
            f"{path} is a safetensors file of weights without the fields of a voice ({FIELD}, version, f0), which "
            "programs of RVC write beside them; give the .pth that it was made of"
        )
    foreign = next((name for name, value in weights.items() if value.dtype not in NUMBERS), None)
    if foreign is not None:
        raise FormatError(f"{path}: {shown_name(foreign)} of the safetensors file holds {weights[foreign].dtype}")
    for key in IN_JSON:
        if key in fields:
            fields[key] = _from_json(path, key, fields[key])
    return {**fields, "weight": weights}


def is_voice(path: Path) -> bool:
    """Whether a file is a safetensors file with the fields of a voice; false for one that cannot be read."""
    try:
        with safe_open(str(path), framework="pt") as stream:
            return FIELD in (stream.metadata() or {})
    except (SafetensorError, OSError, ValueError, RuntimeError):
        return False


def _from_json(path: Path, key: str, text: str) -> Any:
    if len(text) > MAX_TEXT:
        raise FormatError(f"{path}: {key!r} of the safetensors file has {len(text)} characters; it was not read")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: {key!r} of the safetensors file is no JSON; get it again") from error
