"""Graphs of an RVC generator as other programs load them: inputs, versions and metadata. Plain data, imports no torch.

Source of every fact: RVC-WebUI at 271d86a (infer/modules/onnx/export.py, infer/lib/infer_pack/onnx_inference.py),
w-okada/voice-changer at ae6b8baa (export2onnx.py, OnnxRVCInferencer.py, RVCModelSlotGenerator.py) and
deiteris/voice-changer at 95110914 (export2onnx.py).
"""

import json
from dataclasses import dataclass
from typing import Any

from utils.errors import ConfigError
from utils.voice_file.signature import FLOAT, HALF, INTEGER, GraphValue

FRAMES = "frames"
OUTPUT = "audio"
CLIENT_KEY = "metadata"
OWN_KEY = "voclo_trainer_generator"  # of our own JSON about a generator
CLIENT_VERSION = "2.1"  # the audio is one-dimensional and within full scale
LAYERS = {256: 9, 768: 12}  # of the content encoder, by its size
# our names of the encoders -> the clients'; a voice of any other encoder cannot be fed by them
EMBEDDERS = {"contentvec": "hubert_base"}
CLIENT_EMBEDDERS = ("hubert_base", "contentvec", "hubert-base-japanese", "whisper")


@dataclass(frozen=True, kw_only=True)
class RvcFormat:
    """How one program wants the graph of a generator.

    Attributes:
        name: option of export=.
        program: for messages.
        opset: version of the operators.
        precisions: what its loader accepts.
        has_client_metadata: whether it reads a JSON under CLIENT_KEY.
    """

    name: str
    program: str
    opset: int
    precisions: tuple[str, ...]
    has_client_metadata: bool


RVC_FORMATS = {
    rvc_format.name: rvc_format
    for rvc_format in (
        RvcFormat(name="rvc_webui", program="RVC-WebUI", opset=18, precisions=("fp32",), has_client_metadata=False),
        RvcFormat(
            name="wokada",
            program="w-okada's voice changer",
            opset=17,
            precisions=("fp32", "fp16"),
            has_client_metadata=True,
        ),
        RvcFormat(
            name="deiteris",
            program="deiteris' voice changer",
            opset=17,
            precisions=("fp32",),
            has_client_metadata=True,
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class GeneratorShape:
    """What the inputs of a generator depend on.

    Attributes:
        content_dim: D, 256 in v1 and 768 in v2.
        channels: C of the latent, 192 in every published voice.
        has_f0: whether the voice is told the pitch.
        sample_rate: of its audio.
        num_speakers: rows of its speaker table.
    """

    content_dim: int
    channels: int
    has_f0: bool
    sample_rate: int
    num_speakers: int

    @property
    def hop_length(self) -> int:
        """Samples of a frame."""
        return self.sample_rate // 100


@dataclass(frozen=True, kw_only=True)
class RvcGraph:
    """The graph of a generator for one program: its format, what the voice is, and the precision of its features."""

    rvc_format: RvcFormat
    shape: GeneratorShape
    precision: str = "fp32"

    @property
    def inputs(self) -> tuple[GraphValue, ...]:
        """The inputs in their order."""
        return inputs_of(self.rvc_format, self.shape, self.precision)


def inputs_of(rvc_format: RvcFormat, shape: GeneratorShape, precision: str = "fp32") -> tuple[GraphValue, ...]:
    """Return the inputs in their order."""
    frames = (1, FRAMES)
    pitch = (GraphValue("pitch", INTEGER, frames), GraphValue("pitchf", FLOAT, frames)) * shape.has_f0
    if rvc_format.name == "rvc_webui":
        first = (GraphValue("phone", FLOAT, (1, FRAMES, shape.content_dim)), GraphValue("phone_lengths", INTEGER, (1,)))
        noise = GraphValue("rnd", FLOAT, (1, shape.channels, FRAMES))
        return (*first, *pitch, GraphValue("ds", INTEGER, (1,)), noise)
    kind = HALF if precision == "fp16" else FLOAT
    features = (GraphValue("feats", kind, (1, FRAMES, shape.content_dim)), GraphValue("p_len", INTEGER, (1,)))
    known = (*features, *pitch, GraphValue("sid", INTEGER, (1,)))
    if rvc_format.name == "wokada":
        return known
    return (*known, *(GraphValue(name, INTEGER, ()) for name in ("skip_head", "return_length", "formant_length")))


def client_metadata(shape: GeneratorShape, embedder: str) -> str:
    """Return the JSON that w-okada's program and its forks read under CLIENT_KEY."""
    return json.dumps(client_facts(shape, embedder))


def client_facts(shape: GeneratorShape, embedder: Any) -> dict[str, Any]:
    """Return what that JSON says of a voice; the layer is None where no encoder of theirs has the size."""
    version = "v2" if shape.content_dim == 768 else ""
    return {
        "application": "VC_CLIENT",
        "version": CLIENT_VERSION,
        "modelType": f"pyTorchRVC{version}{'' if shape.has_f0 else 'Nono'}",
        "samplingRate": shape.sample_rate,
        "f0": shape.has_f0,
        "embChannels": shape.content_dim,
        "embedder": embedder,
        "embOutputLayer": LAYERS.get(shape.content_dim),
        "useFinalProj": shape.content_dim == 256,
    }


def client_embedder(encoder: str, wanted: str | None) -> str:
    """Return the clients' name of a content encoder.

    Args:
        encoder: our name of the encoder that the voice was trained on.
        wanted: export.embedder, or None.
    Raises:
        ConfigError: if the clients have no such encoder.
    """
    name = wanted or EMBEDDERS.get(encoder)
    if name is None:
        raise ConfigError(
            f"the voice was trained on content features of {encoder}, which these programs do not compute; train on "
            f"content=contentvec, or type export.embedder=<{'|'.join(CLIENT_EMBEDDERS)}> if it is one of theirs"
        )
    if name not in CLIENT_EMBEDDERS:
        raise ConfigError(f"export.embedder={name} is unknown; allowed: {', '.join(CLIENT_EMBEDDERS)}")
    return name


def find_rvc_format(name: str, precision: str) -> RvcFormat:
    """Return the format of a program that can have a precision.

    Raises:
        ConfigError: if there is none of this name or it cannot.
    """
    if name not in RVC_FORMATS:
        raise ConfigError(f"export.kind={name} is unknown; choose export={', '.join(RVC_FORMATS)}")
    rvc_format = RVC_FORMATS[name]
    if precision not in rvc_format.precisions:
        raise ConfigError(
            f"export.precision={precision} is nothing that {rvc_format.program} loads; "
            f"allowed: {', '.join(rvc_format.precisions)}"
        )
    return rvc_format
