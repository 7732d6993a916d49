"""A generator of RVC as a graph that RVC-WebUI, w-okada's voice changer or deiteris' fork loads."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from models.base import BaseVoiceConversionModel
from utils.config import Pluggable, from_yaml, to_yaml
from utils.console import table
from utils.errors import ConfigError, ExportError
from utils.export.delivery import without_places
from utils.export.graph import save_graph
from utils.export.plans import GeneratorPlan
from utils.export.precision import PARITY_DB
from utils.export.rvc.generator_graph import GeneratorGraph, build_generator_graph, graph_metadata
from utils.export.rvc.imported_voice import load_imported_network
from utils.export.staging import move_into_place, staging_folder
from utils.files import atomic_write_json, sha256_of_file
from utils.rvc.encoders import encoder_name, require_published_content
from utils.rvc.layout import is_rvc, layout_of, legacy_state, shapes_of
from utils.rvc.reading import F0_CONVENTIONS, F0Convention, known_convention
from utils.training.checkpoints import (
    PAYLOAD_KEY,
    build_generator,
    checkpoint_path,
    read_checkpoint,
    trained_dataset,
    voice_state,
)
from utils.verification.candidate import Candidate
from utils.verification.reference import Feed, GeneratorReference
from utils.verification.rules import verify
from utils.voice_file.generator_metadata import SCHEMA_VERSION
from utils.voice_file.rvc_formats import (
    OWN_KEY,
    RVC_FORMATS,
    GeneratorShape,
    RvcGraph,
    client_embedder,
    client_metadata,
    inputs_of,
)

REPORT_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class GeneratorVoice:
    """A generator without front end, and what is known of it; f0_convention is None where nobody says it.

    Attributes:
        encoder: name of the content encoder.
        encoder_identity: what else is known of it, such as the hash of its weights.
        pitch: identity of the pitch tracker of the training data; empty for a file, which does not say it.
        dataset_fingerprint: of the training data; "unknown" for a file.
        metrics: held-out figures; empty for a file.
    """

    model: BaseVoiceConversionModel
    speakers: list[str]
    encoder: str
    f0_convention: F0Convention | None
    step: int
    config: str
    encoder_identity: dict[str, Any] = field(default_factory=dict)
    pitch: dict[str, Any] = field(default_factory=dict)
    dataset_fingerprint: str = "unknown"
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def shape(self) -> GeneratorShape:
        """What the inputs of its graph depend on."""
        model: Any = self.model
        return GeneratorShape(
            content_dim=model.content_dim,
            channels=model.hidden_channels,
            has_f0=model.use_f0,
            sample_rate=model.sample_rate,
            num_speakers=model.num_speakers,
        )


def load_generator(job: GeneratorPlan) -> GeneratorVoice:
    """Read the generator of a run or of a shared voice; its encoder and pitch tracker are not needed.

    Raises:
        ConfigError: if it is none of RVC's, or listens to another layer of its encoder than the programs give.
        FormatError: if the file is damaged.
    """
    if job.file is not None:
        network = load_imported_network(job.file, job.speakers)
        file = network.file
        require_published_content(file.encoder, file.layout.version, str(job.file))
        encoder = job.encoder or file.embedder or "an encoder that its file does not name"
        convention = job.f0_convention or file.f0_convention
        return GeneratorVoice(
            model=network.model.eval(),
            speakers=network.speakers,
            encoder=encoder,
            f0_convention=convention,
            step=file.step,
            config=to_yaml(network.config),
            encoder_identity=dict(file.encoder),
        )
    assert job.run is not None
    content = read_checkpoint(checkpoint_path(job.run, job.checkpoint))
    payload = content[PAYLOAD_KEY]
    config = from_yaml(payload["config"])
    dataset, weights = trained_dataset(content), voice_state(content["state_dict"])
    if not is_rvc(weights):
        raise ConfigError(
            f"{job.run} has no generator of RVC; export={job.rvc_format.name} needs a run of experiment=rvc_<..> "
            "(export=onnx makes a graph of every voice)"
        )
    identity, version = dataset.content.identity, layout_of(shapes_of(legacy_state(weights))).version
    require_published_content(identity, version, str(job.run))
    model = build_generator(Pluggable.of(config["model"], "model"), dataset)
    model.load_state_dict(weights)
    return GeneratorVoice(
        model=model.requires_grad_(False).eval(),
        speakers=dataset.speaker_names,
        encoder=str(identity.get("id")),
        f0_convention=known_convention(dataset.f0_convention) or "zero_unvoiced",
        step=int(content["state_dict"]["steps_done"]),
        config=to_yaml(without_places(config)),
        encoder_identity=without_places(dict(identity)),
        pitch=without_places(dict(dataset.pitch.identity)),
        dataset_fingerprint=dataset.fingerprint,
        metrics={name: float(value) for name, value in payload["metrics"].items() if math.isfinite(float(value))},
    )


def export_generator(job: GeneratorPlan) -> list[str]:
    """Write the graph, verified by a re-enactment of its loader, or nothing; returns lines that say what was done.

    Raises:
        ConfigError: if the voice is none that the program can feed.
        ExportError: if a rule does not hold.
    """
    voice = load_generator(job)
    if voice.shape.content_dim not in (256, 768):
        raise ConfigError(
            f"the voice listens to content of {voice.shape.content_dim} values; "
            f"{job.rvc_format.program} gives 256 (v1) or 768 (v2)"
        )
    embedder = client_embedder(encoder_name(voice.encoder), job.embedder)
    target, stem = job.root / job.name, f"{job.name}_{job.rvc_format.name}"
    with staging_folder(target, (f"{stem}.onnx", f"{stem}.json")) as folder:
        path = folder / f"{stem}.onnx"
        client = client_metadata(voice.shape, embedder)
        graph = build_generator_graph(
            voice.model,
            job.rvc_format,
            voice.shape,
            precision=job.precision,
            metadata=graph_metadata(job.rvc_format, client, {OWN_KEY: own_metadata(job, voice)}),
        )
        save_graph(graph, path)
        graph_kind = RvcGraph(rvc_format=job.rvc_format, shape=voice.shape, precision=job.precision)
        reference = GeneratorReference(convert=reference_of(voice, job), parity_db=PARITY_DB[job.precision])
        checks = verify(Candidate(path=path, expected_generator=graph_kind), reference)
        rows = [[check.outcome, check.name, check.detail] for check in checks]
        failures = [check.name for check in checks if not check.passed]
        shown = [path.name, table(rows, ["", "rule", "detail"])]
        if failures:
            raise ExportError(
                f"nothing was exported, {target} is as before; failed: {'; '.join(failures)} "
                f"({next(check.detail for check in checks if not check.passed)})"
            )
        report = {
            "schema_version": REPORT_SCHEMA_VERSION,
            "file": {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of_file(path)},
            "program": job.rvc_format.program,
            "precision": job.precision,
            "encoder": voice.encoder,
            "f0_convention": voice.f0_convention,
            "verification": [asdict(check) for check in checks],
        }
        atomic_write_json(folder / f"{stem}.json", report)
        written = move_into_place(folder, target, lambda item: False)
    return [*shown, *(f"wrote {item} ({item.stat().st_size / 1e6:.2f} MB)" for item in written), *_notes(job, voice)]


def own_metadata(job: GeneratorPlan, voice: GeneratorVoice) -> str:
    """Return our JSON about a generator: where it comes from and who may use it."""
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": job.name,
        "dialect": job.rvc_format.name,
        "precision": job.precision,
        **asdict(voice.shape),
        "speakers": voice.speakers,
        "encoder": voice.encoder,
        "encoder_identity": voice.encoder_identity,
        "pitch": voice.pitch,
        "f0_convention": voice.f0_convention,
        "dataset_fingerprint": voice.dataset_fingerprint,
        "step": voice.step,
        "metrics": voice.metrics,
        "licence": job.licence,
        "consent": job.consent,
        "created": datetime.now(UTC).date().isoformat(),
        "config": voice.config,
    }
    return json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False)


def reference_of(voice: GeneratorVoice, job: GeneratorPlan) -> Callable[[Feed], np.ndarray]:
    """Return what the PyTorch voice makes of a feed."""
    module = GeneratorGraph(voice.model.form("features"), job.rvc_format, voice.shape.has_f0).eval()
    names: Sequence[str] = [item.name for item in inputs_of(job.rvc_format, voice.shape, job.precision)]

    def convert(fed: Feed) -> np.ndarray:
        with torch.no_grad():
            output: np.ndarray = module(*(torch.from_numpy(np.asarray(fed[name])) for name in names)).numpy()
        return output

    return convert


def _notes(job: GeneratorPlan, voice: GeneratorVoice) -> list[str]:
    notes = [f"for {job.rvc_format.program}: {len(voice.speakers)} speaker(s), {voice.shape.sample_rate} Hz"]
    if job.rvc_format.name == "rvc_webui" and (voice.shape.content_dim, voice.shape.has_f0) != (768, True):
        notes.append("note: RVC-WebUI's own runner feeds v2 voices with f0 alone; ports of it take this one")
    if voice.shape.has_f0:
        notes.append(_convention_note(voice))
    others = ", ".join(name for name in RVC_FORMATS if name != job.rvc_format.name)
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
