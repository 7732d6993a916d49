"""A generator of RVC as a graph that RVC-WebUI, w-okada's voice changer or deiteris' fork loads."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from utils.errors import ConfigError
from utils.export.finishing import save_graph
from utils.export.outcome import ExportOutcome, VerifiedGraph
from utils.export.plans import GeneratorPlan
from utils.export.precision import PARITY_DB
from utils.export.rvc.generator_graph import GeneratorGraph, build_generator_graph
from utils.export.rvc.generator_voice import GeneratorVoice, load_generator
from utils.export.staging import move_into_place, staging_folder
from utils.files import atomic_write_json, sha256_of_file
from utils.rvc.encoders import encoder_name
from utils.rvc.reading import F0_CONVENTIONS
from utils.verification.candidate import Candidate
from utils.verification.reference import Feed, GeneratorReference
from utils.verification.rules import verify
from utils.voice_file.generator_metadata import SCHEMA_VERSION
from utils.voice_file.rvc_formats import (
    CLIENT_KEY,
    LAYERS,
    OWN_KEY,
    RVC_FORMATS,
    RvcGraph,
    client_embedder,
    client_metadata,
)

REPORT_SCHEMA_VERSION = 1


def export_generator(plan: GeneratorPlan) -> ExportOutcome:
    """Write the graph, verified by a re-enactment of its loader; nothing is written when a rule fails.

    Raises:
        ConfigError: if the voice is none that the program can feed.
        ExportError: if the network cannot be traced.
    """
    voice = load_generator(plan)
    graph = RvcGraph(rvc_format=plan.rvc_format, shape=voice.shape, precision=plan.precision)
    texts = _texts(plan, voice, graph)
    target, stem = plan.root / plan.name, f"{plan.name}_{plan.rvc_format.name}"
    with staging_folder(target, (f"{stem}.onnx", f"{stem}.json")) as folder:
        path = folder / f"{stem}.onnx"
        save_graph(build_generator_graph(voice.model, graph, metadata=texts), path)
        reference = GeneratorReference(convert=conversion_of(voice, graph), parity_db=PARITY_DB[plan.precision])
        checks = verify(Candidate(path=path, expected_generator=graph), reference)
        outcome = ExportOutcome(folder=target, graphs=[VerifiedGraph(path, tuple(checks))])
        if outcome.failures:
            return outcome
        atomic_write_json(folder / f"{stem}.json", _report(plan, voice, outcome.graphs[0]))
        written = move_into_place(folder, target, lambda item: False)
    return replace(outcome, files=written, notes=tuple(_notes(plan, voice)))


def _texts(plan: GeneratorPlan, voice: GeneratorVoice, graph: RvcGraph) -> dict[str, str]:
    """Return the metadata of the graph: ours, and the client's where it reads one."""
    if graph.shape.content_dim not in LAYERS:
        raise ConfigError(
            f"the voice listens to content of {graph.shape.content_dim} values; "
            f"{plan.rvc_format.program} gives 256 (v1) or 768 (v2)"
        )
    client = client_metadata(graph.shape, client_embedder(encoder_name(voice.encoder), plan.embedder))
    own = {OWN_KEY: own_metadata(plan, voice)}
    return own | ({CLIENT_KEY: client} if plan.rvc_format.has_client_metadata else {})


def own_metadata(plan: GeneratorPlan, voice: GeneratorVoice) -> str:
    """Return our JSON about a generator: where it comes from and who may use it."""
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": plan.name,
        "dialect": plan.rvc_format.name,
        "precision": plan.precision,
        **asdict(voice.shape),
        "speakers": voice.speakers,
        "encoder": voice.encoder,
        "encoder_identity": voice.encoder_identity,
        "pitch": voice.pitch,
        "f0_convention": voice.f0_convention,
        "dataset_fingerprint": voice.dataset_fingerprint,
        "step": voice.step,
        "metrics": voice.metrics,
        "licence": plan.licence,
        "consent": plan.consent,
        "created": datetime.now(UTC).date().isoformat(),
        "config": voice.config,
    }
    return json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False)


def conversion_of(voice: GeneratorVoice, graph: RvcGraph) -> Callable[[Feed], np.ndarray]:
    """Return what the PyTorch voice makes of a feed."""
    module = GeneratorGraph(voice.model.form("features"), graph.rvc_format, graph.shape.has_f0).eval()

    def convert(fed: Feed) -> np.ndarray:
        with torch.no_grad():
            output: np.ndarray = module(
                *(torch.from_numpy(np.asarray(fed[item.name])) for item in graph.inputs)
            ).numpy()
        return output

    return convert


def _report(plan: GeneratorPlan, voice: GeneratorVoice, graph: VerifiedGraph) -> dict[str, Any]:
    path = graph.path
    return {
        "schema_version": REPORT_SCHEMA_VERSION,
        "file": {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of_file(path)},
        "program": plan.rvc_format.program,
        "precision": plan.precision,
        "encoder": voice.encoder,
        "f0_convention": voice.f0_convention,
        "verification": [asdict(check) for check in graph.checks],
    }


def _notes(plan: GeneratorPlan, voice: GeneratorVoice) -> list[str]:
    notes = [f"for {plan.rvc_format.program}: {len(voice.speakers)} speaker(s), {voice.shape.sample_rate} Hz"]
    if plan.rvc_format.name == "rvc_webui" and (voice.shape.content_dim, voice.shape.has_f0) != (768, True):
        notes.append("note: RVC-WebUI's own runner feeds v2 voices with f0 alone; ports of it take this one")
    if voice.shape.has_f0:
        notes.append(_convention_note(voice))
    others = ", ".join(name for name in RVC_FORMATS if name != plan.rvc_format.name)
    return [*notes, f"other programs refuse this file; export={others} write theirs"]


def _convention_note(voice: GeneratorVoice) -> str:
    if voice.f0_convention is None:
        return (
            "note: the file does not say what its f0 held in unvoiced frames, and the graph records nothing; type "
            f"rvc.f0_convention={' or '.join(F0_CONVENTIONS)} where it is known"
        )
    return (
        f"note: trained with f0 {voice.f0_convention} in unvoiced frames (recorded); the program brings its own pitch"
    )
