"""Small RVC generators as graphs of the programs that load them."""

from functools import cache
from pathlib import Path

from tests.tools.rvc_tools import small_generator
from utils.export.rvc.generator_graph import build_generator_graph
from utils.verification.candidate import Candidate
from utils.voice_file.rvc_formats import RVC_FORMATS, GeneratorShape, RvcGraph, client_metadata

Kind = tuple[str, int, bool]
V2, V1_WITHOUT_F0 = ("rvc_v2_32k", 768, True), ("rvc_v1_40k", 256, False)


@cache
def graph_bytes(rvc_format: str, kind: Kind, precision: str) -> bytes:
    """Trace a small random voice of two speakers, once for each kind of graph."""
    model, content_dim, has_f0 = kind
    sizes = ("model.upsample_channels=16", f"model.use_f0={str(has_f0).lower()}")
    network = small_generator(model, *sizes, num_speakers=2, content_dim=content_dim)
    graph = RvcGraph(rvc_format=RVC_FORMATS[rvc_format], shape=shape_of(kind), precision=precision)
    has_metadata = graph.rvc_format.has_client_metadata
    metadata = {"metadata": client_metadata(graph.shape, "hubert_base")} if has_metadata else {}
    return build_generator_graph(network.eval(), graph, metadata=metadata).SerializeToString()


def shape_of(kind: Kind) -> GeneratorShape:
    model, content_dim, has_f0 = kind
    rate = int(model[-3:-1]) * 1000
    return GeneratorShape(content_dim=content_dim, channels=8, has_f0=has_f0, sample_rate=rate, num_speakers=2)


def write(folder: Path, rvc_format: str, kind: Kind = V2, precision: str = "fp32") -> Candidate:
    path = folder / f"{rvc_format}_{precision}.onnx"
    path.write_bytes(graph_bytes(rvc_format, kind, precision))
    graph = RvcGraph(rvc_format=RVC_FORMATS[rvc_format], shape=shape_of(kind), precision=precision)
    return Candidate(path=path, expected_generator=graph)
