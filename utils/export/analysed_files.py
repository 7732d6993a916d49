"""What indexes, cluster files, graphs and runs say of themselves, and how their weights are."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor

from utils.config import select
from utils.errors import FormatError
from utils.export.analysis import Analysis, name_remarks
from utils.export.health import health_of
from utils.rvc.clusters import read_clusters
from utils.rvc.encoders import encoder_name
from utils.rvc.faiss_vectors import read_index_file
from utils.rvc.layout import VERSIONS, is_rvc, layout_of, legacy_state, shapes_of
from utils.rvc.quoting import said_text
from utils.training.checkpoint_checks import PAYLOAD_KEY, steps_done, stored_config, stored_dataset
from utils.training.checkpoints import checkpoint_path, read_checkpoint, voice_state
from utils.voice_file.generator_metadata import generator_metadata_from_json
from utils.voice_file.metadata import METADATA_KEY, metadata_from_json
from utils.voice_file.onnx_contents import read_contents
from utils.voice_file.rvc_formats import CLIENT_KEY
from utils.voice_file.rvc_formats import OWN_KEY as GENERATOR_KEY

INDEX_VECTORS = 20_000  # that are looked at


def analyse_index(path: Path) -> Analysis:
    """Look into a FAISS index.

    Raises:
        FormatError: if it is none of a kind that is read here.
    """
    index = read_index_file(path)
    count, dim = index.num_vectors, index.dim
    remarks = name_remarks(path)
    version = VERSIONS.get(dim)
    if version is None:
        remarks.append(f"no voice of RVC has content of {dim} values; this index fits voices of this workbench alone")
    elif version == "v1":
        remarks.append(
            "programs offer it for every v1 voice; made on another encoder than ContentVec's layer 9, such as the "
            "builtin one, it must not be used there"
        )
    if not count:
        remarks.append("it is empty: a file trained_*.index, to which nothing was added; use added_*.index")
    facts = {"kind": index.kind, "vectors": count, "content_dim": dim, "version": version, "embedder": None}
    vectors = index.vectors[:INDEX_VECTORS] if index.vectors is not None else np.empty(0)
    health = health_of({"vectors": torch.from_numpy(vectors)}) if vectors.size else None
    return Analysis(path=path, what=f"{path.name}: FAISS index", facts=facts, health=health, remarks=remarks)


def analyse_clusters(path: Path) -> Analysis:
    """Look into a cluster file of So-VITS-SVC.

    Raises:
        FormatError: if it is damaged, wants to run code or is none.
    """
    clusters = read_clusters(path)
    dims = {vectors.shape[1] for vectors in clusters.values()}
    dim = dims.pop() if len(dims) == 1 else None
    speakers = [
        {"name": name if isinstance(name, str) else f"row {name}", "vectors": f"{len(vectors)} vectors"}
        for name, vectors in clusters.items()
    ]
    facts = {
        "program": "So-VITS-SVC", "kind": "index" if path.suffix.lower() == ".pkl" else "k-means centres",
        "content_dim": dim, "vectors": sum(len(vectors) for vectors in clusters.values()),
    }  # fmt: skip
    health = health_of({str(name): torch.from_numpy(vectors) for name, vectors in clusters.items()})
    remarks = [f"rvc.cluster={path.name} takes it into the graph of its voice, for index_rate"]
    what = f"{path.name}: retrieval file of So-VITS-SVC"
    return Analysis(path=path, what=what, facts=facts, speakers=speakers, health=health, remarks=remarks)


def analyse_graph(path: Path) -> Analysis:
    """Look into a graph: one of ours from audio to audio, or a generator for another program.

    Raises:
        FormatError: if it is damaged, or has weights in other files.
    """
    if not path.is_file():
        raise FormatError(f"{path} is not a file; give the path of a voice")
    contents = read_contents(path)
    if contents.external:
        raise FormatError(f"{path} has its weights in other files, which are not read; export it as one file")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise FormatError(f"{path} is damaged or no ONNX model; export the voice again") from error
    texts = {item.key: item.value for item in model.metadata_props}
    facts, speakers, what = _said_by_graph(texts, path)
    health = health_of(dict(_weights_of(model.graph)))
    return Analysis(
        path=path,
        what=f"{path.name}: {what}",
        facts=facts,
        speakers=speakers,
        health=health,
        remarks=name_remarks(path),
    )


def analyse_run(run: Path, which: str, trust: Collection[str] = ()) -> Analysis:
    """Look into a run of train.py.

    Raises:
        ConfigError: if there is none.
        FormatError: if its checkpoint is damaged.
    """
    path = checkpoint_path(run, which)
    content = read_checkpoint(path)
    config, dataset = stored_config(content, path, trust), stored_dataset(content, path)
    weights = legacy_state(voice_state(content["state_dict"]))
    layout = layout_of(shapes_of(weights)) if is_rvc(weights) else None
    identity = dataset.content.identity
    minutes = sum(speaker.minutes for speaker in dataset.speakers)
    facts = {
        "name": run.resolve().name,
        "program": "this workbench",
        "architecture": str(config["model"].get("_target_", "")).rpartition(".")[2],
        "version": layout.version if layout else None,
        "vocoder": layout.vocoder if layout else None,
        "sample_rate": select(config, "audio.sample_rate"),
        "uses_f0": layout.has_f0 if layout else True,
        "f0_convention": dataset.f0_convention,
        "embedder": _said(identity.get("id")),
        "embedder_layer": identity.get("layer"),
        "content_dim": dataset.content_dim,
        "epochs": max(1, int(content.get("epoch", 0))),  # begun, as the files that are written say it
        "steps": steps_done(content),
        "dataset_length": f"{minutes:.1f} minutes",
        "speakers_trained": sum(speaker.minutes > speaker.held_out_minutes for speaker in dataset.speakers),
        "speaker_rows": len(dataset.speakers),
    }
    speakers = [
        {"name": item.name, "minutes": f"{item.minutes:.1f} minutes", "recordings": f"{item.files} recordings"}
        for item in dataset.speakers
    ]
    figures = content[PAYLOAD_KEY]["metrics"]
    remarks = [f"held-out {name} {value:.4g}" for name, value in figures.items()]
    remarks += [f"speaker {item.name} has no audio to train on" for item in dataset.speakers if not item.minutes]
    what = f"{run}: run of this workbench, checkpoint {which}"
    return Analysis(path=run, what=what, facts=facts, speakers=speakers, health=health_of(weights), remarks=remarks)


def _said_by_graph(texts: dict[str, str], path: Path) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    if METADATA_KEY in texts:
        own = metadata_from_json(texts[METADATA_KEY], str(path))
        facts = {
            "name": own.name, "program": "this workbench", "architecture": own.flavour, "sample_rate": own.sample_rate,
            "f0_convention": own.f0_convention, "embedder": _said(own.encoder.get("id")),
            "embedder_layer": own.encoder.get("layer"), "content_dim": own.encoder.get("dim"), "steps": own.step,
            "speaker_rows": len(own.speakers), "licence": _said(own.licence),
        }  # fmt: skip
        speakers = [
            {"name": item.name, "f0": f"{item.f0_median_hz:.0f} Hz" if item.f0_median_hz else "pitch not known"}
            for item in own.speakers
        ]
        return facts, speakers, "voice of this workbench, one graph from audio to audio"
    if GENERATOR_KEY in texts:
        values = generator_metadata_from_json(texts[GENERATOR_KEY], str(path))
        facts = {
            "name": _said(values["name"]), "program": "this workbench", "created": _said(values["created"]),
            "architecture": f"generator for {_said(values['dialect'])}", "sample_rate": values["sample_rate"],
            "version": VERSIONS.get(values["content_dim"]), "uses_f0": bool(values["has_f0"]),
            "f0_convention": values["f0_convention"], "embedder": _said(values["encoder"]),
            "content_dim": values["content_dim"], "steps": values["step"], "speaker_rows": values["num_speakers"],
            "licence": _said(values["licence"]),
        }  # fmt: skip
        return facts, [{"name": _said(name)} for name in values["speakers"]], "generator of RVC for another program"
    if CLIENT_KEY in texts:
        return _said_by_client(texts[CLIENT_KEY], path), [], "generator of RVC, of w-okada's voice changer or its kin"
    return {"program": None, "embedder": None, "sample_rate": None}, [], "graph of another program, without metadata"


def _said(value: object) -> str | None:
    return said_text(value) or None


def _said_by_client(text: str, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: its metadata is no JSON; get the file again") from error
    values = values if isinstance(values, dict) else {}
    return {
        "program": _said(values.get("application")), "architecture": _said(values.get("modelType")),
        "sample_rate": _said(values.get("samplingRate")), "uses_f0": bool(values.get("f0")),
        "embedder": encoder_name(said_text(values.get("embedder"))) or None,
        "embedder_layer": _said(values.get("embOutputLayer")), "content_dim": _said(values.get("embChannels")),
    }  # fmt: skip


def _weights_of(graph: onnx.GraphProto) -> Iterator[tuple[str, Tensor]]:
    """Yield the learned numbers of a graph and of the graphs inside it; convolutions turned so that channels lead."""
    transposed = {
        node.input[1] for node in graph.node if node.op_type in ("ConvTranspose", "MatMul") and len(node.input) > 1
    }
    for tensor in graph.initializer:
        if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
            continue
        value = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        turned = value.transpose(0, 1) if tensor.name in transposed and value.dim() > 1 else value
        yield tensor.name, turned
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _weights_of(inner)
