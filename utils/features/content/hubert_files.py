"""HuBERT weights from the files in which they are passed on, read without executing anything in them.

A transformers folder has config.json and model.safetensors or pytorch_model.bin. fairseq's file, of which RVC's
hubert_base.pt is one, has the base network under other names.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from utils.config.plain_data import first_line, shown
from utils.errors import ConfigError, FormatError, WorkbenchError
from utils.features.content.hubert_network import HubertNetwork, HubertSizes
from utils.rvc.archive import read_archive
from utils.rvc.bounded_size import bounded_size

HUB_PREFIX = "hf:"
CONFIG = "config.json"
MAX_CONFIG_BYTES = 2**20
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
PREFIX = "hubert."  # of networks with something on top
POSITIONS = "encoder.pos_conv_embed.conv."
DIRECTIONS = ("parametrizations.weight.original1", "weight_v")
LENGTHS = ("parametrizations.weight.original0", "weight_g")
# objects beside fairseq's weights; nothing of them is needed
FAIRSEQ_OBJECTS = ("fairseq.data.dictionary Dictionary", "argparse Namespace")
FAIRSEQ_NAMES = (
    ("post_extract_proj.", "feature_projection.projection."),
    ("encoder.pos_conv.0.", POSITIONS),
    (".self_attn_layer_norm.", ".layer_norm."),
    (".self_attn.", ".attention."),
    (".fc1.", ".feed_forward.intermediate_dense."),
    (".fc2.", ".feed_forward.output_dense."),
)


@dataclass(frozen=True, kw_only=True)
class HubertWeights:
    """A whole HuBERT in single precision under transformers' names, without normalised weights.

    Attributes:
        source: the file or folder, for messages.
    """

    sizes: HubertSizes
    tensors: dict[str, Tensor]
    source: str

    @property
    def projection_dim(self) -> int | None:
        """Size of the vectors after `final_proj`; None where there is none."""
        weight = self.tensors.get("final_proj.weight")
        return None if weight is None else weight.shape[0]

    def build(self, *, layer: int, is_projected: bool) -> HubertNetwork:
        """Make the network up to a layer.

        Raises:
            FormatError: if a parameter is missing or of another shape.
        """
        projection = self.projection_dim if is_projected else None
        try:
            with bounded_size(sum(value.numel() for value in self.tensors.values()), self.source):
                network = HubertNetwork(self.sizes, layer=layer, projection_dim=projection)
        except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
            raise FormatError(f"{self.source} is no complete HuBERT ({first_line(error)})") from error
        wanted = network.state_dict()
        wrong = [name for name, value in wanted.items() if _shape(self.tensors.get(name)) != value.shape]
        if wrong:
            have = _shape(self.tensors.get(wrong[0]))
            found = f"has shape {list(have)} instead of {list(wanted[wrong[0]].shape)}" if have else "is missing"
            raise FormatError(
                f"{self.source} is no complete HuBERT: {len(wrong)} parameters differ, {wrong[0]} {found}"
            )
        network.load_state_dict({name: self.tensors[name] for name in wanted}, assign=True)
        return network


def read_hubert(path: Path) -> HubertWeights:
    """Read a transformers folder, a weights file with its config.json beside it, or fairseq's .pt.

    Raises:
        FormatError: one line with the reason, if it is none of these, not whole or not safe to read.
    """
    if path.is_file() and path.suffix == ".pt":
        return read_fairseq(path)
    folder = path if path.is_dir() else path.parent
    found = [path] if path.is_file() else [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not found or not (folder / CONFIG).is_file():
        raise FormatError(f"{folder} is no transformers folder: it needs {CONFIG} and {' or '.join(WEIGHTS)}")
    try:
        with (folder / CONFIG).open("rb") as stream:
            config = json.loads(stream.read(MAX_CONFIG_BYTES).decode("utf-8"))
        sizes = HubertSizes.from_config(config if isinstance(config, dict) else {"model_type": None})
    except (ValueError, RecursionError, FormatError) as error:
        raise FormatError(f"{folder} cannot be used: {first_line(error)}") from error
    tensors = {name.removeprefix(PREFIX): value for name, value in _read_tensors(found[0]).items()}
    return HubertWeights(sizes=sizes, tensors=_plain(tensors, found[0]), source=str(found[0]))


def read_fairseq(path: Path) -> HubertWeights:
    """Read fairseq's checkpoint of a base network.

    Raises:
        FormatError: if it is not whole, holds objects that are not known to be harmless, or is no HuBERT.
    """
    try:
        content = read_archive(path, inert=FAIRSEQ_OBJECTS)
    except FormatError as error:
        raise FormatError(f"{error}; the transformers or ONNX form of the same encoder can be used instead") from error
    model = content.get("model")
    if not isinstance(model, dict) or not all(isinstance(value, Tensor) for value in model.values()):
        raise FormatError(f"{path} has no weights under 'model'; give fairseq's hubert_base.pt or its kin")
    tensors = {_transformers_name(str(name)): value for name, value in model.items()}
    try:
        sizes = _sizes_of(tensors, path)
    except (LookupError, ValueError, ArithmeticError) as error:  # of names and shapes that no HuBERT has
        raise FormatError(f"{path} is no HuBERT of a known kind") from error
    return HubertWeights(sizes=sizes, tensors=_plain(tensors, path), source=str(path))


def fetch_from_hub(name: str) -> Path:
    """Return the local folder of a hub id such as "user/model", downloading what is not there yet.

    Raises:
        ConfigError: if the package that does it is absent or the hub cannot be reached or has no such files.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        words = f"content.path=hf:{name} needs the package huggingface_hub"
        raise ConfigError(f"{words}; type: pip install huggingface_hub") from error
    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG, *WEIGHTS]))
    except (OSError, ValueError, RuntimeError) as error:  # HTTP errors are OSErrors, wrong names ValueErrors
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(f"content.path=hf:{name}: the hub did not give it ({reason[:120]})") from error


def digest(tensors: dict[str, Tensor]) -> str:
    """Return a hash of names and values, the same whatever file they came from."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode("utf-8"))
        total.update(tensors[name].contiguous().numpy().data)
    return total.hexdigest()


def cached_from_hub(name: str) -> Path:
    """Return the local folder of a hub id that a file names: only what is on this machine already.

    Raises:
        ConfigError: if it is not; says how to fetch it.
    """
    words = f"content.path=hf:{shown(name)} is named by a file and not in the cache of the hub on this machine"
    remedy = "what a file names is never downloaded: if you trust it, fetch it with: hf download"
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, allow_patterns=[CONFIG, *WEIGHTS], local_files_only=True))
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{words}; {remedy} {shown(name)}") from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".safetensors":
        return {str(name): value for name, value in read_archive(path).items() if isinstance(value, Tensor)}
    try:
        return load_file(str(path))
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise FormatError(f"{path} is damaged or no safetensors file ({reason}); get it again") from error


def _plain(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return floats in single precision, the normalised weight of the positions multiplied out.

    The direction is normalised over all but the last axis, each of whose entries has a length of its own.
    """
    plain = {name: value.float() for name, value in tensors.items() if value.is_floating_point()}
    for direction, length in zip(DIRECTIONS, LENGTHS, strict=True):
        if POSITIONS + direction in plain and POSITIONS + length in plain:
            vector, size = plain.pop(POSITIONS + direction), plain.pop(POSITIONS + length)
            if vector.dim() != 3 or tuple(size.shape) not in ((1, 1, vector.shape[2]), (vector.shape[2],)):
                raise FormatError(f"{path} is no HuBERT: {POSITIONS}{direction} and its length do not fit")
            plain[POSITIONS + "weight"] = vector * (size / vector.norm(dim=(0, 1), keepdim=True))
    infinite = [name for name, value in plain.items() if not torch.isfinite(value).all()]
    if infinite:
        raise FormatError(f"{path} has values that are not finite in {infinite[0]}; get it again")
    return plain


def _transformers_name(name: str) -> str:
    if name.startswith("layer_norm."):
        return "feature_projection." + name
    if name.startswith("feature_extractor.conv_layers."):
        head, tail = name.split("conv_layers.")[0], name.split("conv_layers.")[1].split(".")
        if len(tail) < 2:
            return name
        kind = {"0": "conv", "2": "layer_norm"}.get(tail[1], tail[1])
        # a norm over channels is wrapped in two transpositions
        return f"{head}conv_layers.{tail[0]}.{kind}.{tail[-1]}"
    for theirs, ours in FAIRSEQ_NAMES:
        name = name.replace(theirs, ours)
    return name


def _sizes_of(tensors: dict[str, Tensor], path: Path) -> HubertSizes:
    """Read the sizes of a base network from its parameters; what they do not show is that of the published base."""
    layer = "encoder.layers.{}.feed_forward.intermediate_dense.weight"
    num_layers = sum(1 for name in tensors if name.startswith("encoder.layers.") and name.endswith(layer[-24:]))
    convolution = "feature_extractor.conv_layers.{}.conv.weight"
    if num_layers == 0 or convolution.format(0) not in tensors:
        raise FormatError(f"{path} is no HuBERT: it has no transformer layers or no convolutions")
    base = HubertSizes()
    inner, width = tensors[layer.format(0)].shape
    positions = next((tensors[POSITIONS + name] for name in DIRECTIONS if POSITIONS + name in tensors), None)
    if positions is None or width % 64 or width % positions.shape[1]:
        raise FormatError(f"{path} is no HuBERT of a known kind")
    if "feature_extractor.conv_layers.1.layer_norm.weight" in tensors:
        raise FormatError(f"{path} is a large HuBERT of fairseq; give it in transformers format")
    return HubertSizes(
        conv_dim=tuple(tensors[convolution.format(index)].shape[0] for index in range(len(base.conv_dim))),
        hidden_size=width,
        num_hidden_layers=num_layers,
        num_attention_heads=width // 64,
        intermediate_size=inner,
        num_conv_pos_embeddings=positions.shape[2],
        num_conv_pos_embedding_groups=width // positions.shape[1],
    )


def _shape(value: Any) -> Any:
    return value.shape if isinstance(value, Tensor) else None


def explain(error: WorkbenchError, name: str) -> ConfigError:
    """Return the error with what to put where."""
    return ConfigError(
        f"{error}; {name} is read from a transformers folder ({CONFIG} with {' or '.join(WEIGHTS)}), RVC's "
        "hubert_base.pt or an .onnx file: put one somewhere and type content.path=<folder or file>; "
        "content.path=hf:<user>/<model> takes one from the hub"
    )
