"""What each kind of export is made with, worked out from its job."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from utils.config import Pluggable
from utils.config.export import ExportJob
from utils.config.test_model import AUTOMATIC_STEPS
from utils.export.blending import Blend
from utils.export.precision import Precision
from utils.export.tracing import GraphOptions
from utils.features.index import IndexOptions
from utils.rvc.layout import Order
from utils.rvc.reading import F0Convention
from utils.verification.candidate import Extent
from utils.voice_file.controls import ControlDefaults
from utils.voice_file.geometry import check_rate
from utils.voice_file.names import check_voice_name
from utils.voice_file.rvc_formats import RvcFormat, find_rvc_format

RESUME_IN: dict[str, Order | None] = {"either": None, "rvc_webui": "rvc_webui", "applio": "applio"}


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """A foreign voice, or a blend of them, and what its file does not say itself; null where nobody says it."""

    file: Path
    content: Pluggable | None
    pitch: Pluggable | None
    f0_convention: F0Convention | None = None
    embedder: str | None = None
    speakers: tuple[int, ...] | None = None
    blend: Blend | None = None
    index: Path | None = None
    cluster: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """What a voice is made with, export=onnx. Either run or imported is None.

    Attributes:
        trust: packages or classes that a run may name besides those of this workbench.
        source: name or number of the speaker that the input is of, for a voice that must know it.
        automatic_f0: of a voice that predicts a pitch, whether it is used; None: as the voice was trained.
        pitch_step: semitones of which an automatic pitch_shift is a multiple; None: the default is a number.
        asked: values of the controls' defaults that somebody typed, by key.
        blend: what is blended; None for a voice as it is.
    """

    run: Path | None
    imported: ImportSettings | None
    checkpoint: Literal["best", "last", "previous"]
    name: str
    dataset: Path | None
    root: Path
    rates: tuple[int, ...]
    graph_kinds: tuple[str, ...]
    options: GraphOptions
    speaker: str | int | None
    source: str | int | None
    automatic_f0: int | None
    defaults: ControlDefaults
    index: IndexOptions
    codebook_size: int | None
    precision: Precision
    tolerance: float
    extent: Extent
    stream_block_ms: int
    licence: str
    consent: str
    trust: tuple[str, ...] = ()
    asked: dict[str, float | str] = field(default_factory=dict)
    blend: Blend | None = None
    pitch_step: int | None = None


@dataclass(frozen=True, kw_only=True)
class GeneratorPlan:
    """What a generator for another program is made with, export=rvc_webui, wokada or deiteris. Run or file is None.

    Attributes:
        speakers: rows of the speaker table of a file to keep, or None for all.
        embedder: the clients' name of the content encoder, or None for what the voice says.
        encoder: our name of the content encoder of a file, or None for what it says.
        f0_convention: what the f0 of a file held in unvoiced frames, or None for what it says.
    """

    run: Path | None
    file: Path | None
    checkpoint: str
    speakers: tuple[int, ...] | None
    name: str
    root: Path
    rvc_format: RvcFormat
    precision: str
    embedder: str | None
    encoder: str | None
    f0_convention: F0Convention | None
    licence: str
    consent: str
    trust: tuple[str, ...] = ()
    blend: Blend | None = None


@dataclass(frozen=True, kw_only=True)
class FilesPlan:
    """What files of RVC-WebUI and Applio are made with, export=rvc_pth or rvc_checkpoint.

    Attributes:
        resume_in: the program that will resume; only for rvc_checkpoint.
    """

    run: Path
    kind: Literal["rvc_pth", "rvc_checkpoint"]
    checkpoint: str
    name: str
    root: Path
    resume_in: str
    licence: str
    consent: str
    trust: tuple[str, ...] = ()
    blend: Blend | None = None


def plan_export(job: ExportJob) -> ExportPlan:
    """Work out what a voice is made with.

    Raises:
        ConfigError: if the run is missing, or the name, a rate or a control cannot be.
    """
    imported, settings = _import_settings(job), job.export
    run, _ = sources_of(job)
    defaults = settings.defaults.model_dump(exclude_none=True)
    step = AUTOMATIC_STEPS.get(str(defaults["pitch_shift"]))
    return ExportPlan(
        run=run,
        imported=imported,
        checkpoint=job.checkpoint,
        name=_name(job),
        dataset=job.dataset,
        root=settings.root,
        rates=tuple(check_rate(rate) for rate in settings.rates or ()),
        graph_kinds=settings.graph_kinds,
        options=GraphOptions(
            opset=settings.opset, exporter=settings.exporter, controls_as_inputs=settings.controls == "inputs"
        ),
        speaker=settings.speaker,
        source=settings.source,
        automatic_f0=settings.defaults.automatic_f0,
        defaults=ControlDefaults(**(defaults if step is None else defaults | {"pitch_shift": math.nan})),
        pitch_step=step,
        index=IndexOptions(**job.retrieval.model_dump(exclude={"codebook_size"})),
        codebook_size=job.retrieval.codebook_size,
        precision=settings.precision,
        tolerance=settings.parity_tolerance,
        extent=Extent(minutes=settings.verify_minutes, num_blocks=settings.verify_blocks),
        stream_block_ms=settings.stream_block_ms,
        licence=job.licence,
        consent=job.consent,
        trust=job.trust,
        asked={
            key: defaults[key.rpartition(".")[2]]
            for key in sorted(job.given)
            if key == "export.pitch_shift" or key.removeprefix("export.defaults.") in defaults
        },
        blend=blend_of(job),
    )


def plan_generator(job: ExportJob) -> GeneratorPlan:
    """Work out what a generator for another program is made with.

    Raises:
        ConfigError: if the run is missing, the name cannot be, or the program loads no such precision.
    """
    rvc_format = find_rvc_format(job.export.kind, job.export.precision)
    run, file = sources_of(job)
    return GeneratorPlan(
        run=run,
        file=file,
        checkpoint=job.checkpoint,
        speakers=job.rvc.speakers,
        name=_name(job),
        root=job.export.root,
        rvc_format=rvc_format,
        precision=job.export.precision,
        embedder=job.export.embedder,
        encoder=job.rvc.embedder,
        f0_convention=job.rvc.f0_convention,
        licence=job.licence,
        consent=job.consent,
        trust=job.trust,
        blend=blend_of(job),
    )


def plan_files(job: ExportJob) -> FilesPlan:
    """Work out what files of RVC-WebUI and Applio are made with.

    Raises:
        ConfigError: if the run is missing, or the name cannot be.
    """
    assert job.export.kind in ("rvc_pth", "rvc_checkpoint")
    run, file = sources_of(job)
    return FilesPlan(
        run=run or file or job.run_folder,
        kind=job.export.kind,
        checkpoint=job.checkpoint,
        name=_name(job),
        root=job.export.root,
        resume_in=job.export.resume_in,
        licence=job.licence,
        consent=job.consent,
        trust=job.trust,
        blend=blend_of(job),
    )


def blend_of(job: ExportJob) -> Blend | None:
    """Return what is blended; None without blend=."""
    if not job.shares:
        return None
    kind: Literal["runs", "files", "speakers"]
    kind = "speakers" if job.run or job.voice else "files" if job.blends_files else "runs"
    return Blend(kind, job.shares)


def sources_of(job: ExportJob) -> tuple[Path | None, Path | None]:
    """Return the run and the foreign voice, one of which is None; of several that are blended the heaviest."""
    blend = blend_of(job)
    if blend is None or blend.kind == "speakers":
        return (None, job.voice) if job.voice else (job.run_folder, None)
    heaviest = Path(blend.heaviest)
    return (None, heaviest) if blend.kind == "files" else (heaviest, None)


def _name(job: ExportJob) -> str:
    """Return the name of the voice: what is typed, or what its sources are called."""
    run, file = sources_of(job)
    blend = blend_of(job)
    if blend is not None and blend.kind != "speakers":
        stems = [Path(name).stem if blend.kind == "files" else Path(name).resolve().name for name in blend.shares]
        return check_voice_name(job.name or "_".join(stems))
    return check_voice_name(job.name or (file.stem if file else run.resolve().name if run else ""))


def _import_settings(job: ExportJob) -> ImportSettings | None:
    """Return what belongs to voice=, or None without it."""
    _, file = sources_of(job)
    if file is None:
        return None
    return ImportSettings(
        file=file,
        content=job.content,
        pitch=job.pitch,
        f0_convention=job.rvc.f0_convention,
        embedder=job.rvc.embedder,
        speakers=job.rvc.speakers,
        blend=blend_of(job),
        index=job.index,
        cluster=job.rvc.cluster,
    )
