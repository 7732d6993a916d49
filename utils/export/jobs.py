"""The jobs of export_onnx.py, from its configuration."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig

from utils.config import check_range, require, to_plain
from utils.config.settings import as_list
from utils.errors import ConfigError
from utils.export.graph import GraphOptions
from utils.export.graph_kinds import find_flavour
from utils.export.precision import Precision, check_precision
from utils.export.settings import check_settings, refuse_unread
from utils.features.index import IndexOptions
from utils.rvc.layout import Order
from utils.rvc.reading import F0_CONVENTIONS, F0Convention, known_convention
from utils.verification.candidate import Extent
from utils.voice_file.controls import ControlDefaults
from utils.voice_file.geometry import check_rate, check_stream_block
from utils.voice_file.names import check_voice_name
from utils.voice_file.rvc_formats import RVC_FORMATS, RvcFormat, find_rvc_format

HINT = "python export_onnx.py run=runs/<run>"
MAX_CODEBOOK = 65536


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """A foreign voice and what its file does not say itself; configs/export.yaml says what each value means."""

    file: Path
    content: dict[str, Any] | None
    pitch: dict[str, Any] | None
    f0_convention: str | None = None
    embedder: str | None = None
    speakers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.f0_convention is not None and self.f0_convention not in F0_CONVENTIONS:
            raise ConfigError(
                f"rvc.f0_convention={self.f0_convention} is unknown; allowed: {', '.join(F0_CONVENTIONS)}"
            )


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """One run of export_onnx.py; configs/export.yaml says what each value means. Either run or imported is None.

    Attributes:
        asked: values of the controls' defaults that somebody typed, by key.
    """

    run: Path | None
    imported: ImportSettings | None
    checkpoint: Literal["best", "last"]
    name: str
    dataset: Path | None
    root: Path
    rates: tuple[int, ...]
    flavours: tuple[str, ...]
    options: GraphOptions
    speaker: str | int | None
    defaults: ControlDefaults
    index: IndexOptions
    codebook_size: int | None
    precision: Precision
    tolerance: float
    extent: Extent
    stream_block_ms: int
    licence: str
    consent: str
    asked: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GeneratorJob:
    """One run of export_onnx.py with export=rvc_webui, wokada or deiteris. Either run or file is None.

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


RESUME_IN: dict[str, Order | None] = {"either": None, "rvc_webui": "rvc_webui", "applio": "applio"}


@dataclass(frozen=True, kw_only=True)
class ForeignJob:
    """One run of export_onnx.py with export=rvc_pth or export=rvc_checkpoint.

    Attributes:
        resume_in: the program that will resume, see configs/export/rvc_checkpoint.yaml; only for rvc_checkpoint.
    """

    run: Path
    kind: Literal["rvc_pth", "rvc_checkpoint"]
    checkpoint: str
    name: str
    root: Path
    resume_in: str
    licence: str
    consent: str


def export_job(config: DictConfig, given: Collection[str] = ()) -> ExportJob:
    """Build the typed job of configs/export.yaml.

    Args:
        config: the script's configuration.
        given: keys that somebody typed; those that have no effect are refused.
    Raises:
        ConfigError: if the run is missing, or a value is of a wrong kind, unknown, out of range or without effect.
    """
    plain = to_plain(config)
    check_settings(plain)
    imported = _import_settings(plain)
    refuse_unread(plain, given)
    run = None if imported else Path(str(require(config, "run", HINT))).expanduser()
    settings: dict[str, Any] = plain["export"]
    size = plain["retrieval"]["codebook_size"]
    if size is not None:
        check_range("retrieval.codebook_size", size, 0, MAX_CODEBOOK)
        if imported:
            raise ConfigError("retrieval.codebook_size needs a run with its dataset; a voice= has no recordings")
    if plain["checkpoint"] not in ("best", "last"):
        raise ConfigError(f"checkpoint={plain['checkpoint']!r} is unknown; allowed: best, last")
    tolerance = float(settings["parity_tolerance"])
    if not 0 < tolerance <= 0.1:
        raise ConfigError(f"export.parity_tolerance={tolerance:g} is out of range; allowed: above 0, at most 0.1")
    flavours = [find_flavour(name).name for name in as_list(settings["flavours"])]
    if not flavours or len(set(flavours)) < len(flavours):
        raise ConfigError(f"export.flavours={settings['flavours']} must name at least one, and each once")
    return ExportJob(
        run=run,
        imported=imported,
        checkpoint=plain["checkpoint"],
        name=check_voice_name(str(plain["name"] or _default_name(run, imported))),
        dataset=Path(str(plain["dataset"])).expanduser() if plain["dataset"] else None,
        root=Path(str(settings["root"])).expanduser(),
        rates=tuple(_rates(settings["rates"])),
        flavours=tuple(flavours),
        options=GraphOptions(opset=settings["opset"], exporter=settings["exporter"]),
        speaker=settings["speaker"],
        defaults=ControlDefaults(**settings["defaults"]),
        index=_index_options(plain["retrieval"]),
        codebook_size=plain["retrieval"]["codebook_size"],
        precision=check_precision(settings["precision"]),
        tolerance=tolerance,
        extent=Extent(minutes=float(settings["verify_minutes"]), num_blocks=int(settings["verify_blocks"])),
        stream_block_ms=check_stream_block(settings["stream_block_ms"]),
        licence=str(plain["licence"]),
        consent=str(plain["consent"]),
        asked={
            key: settings["defaults"][key.rpartition(".")[2]]
            for key in sorted(given)
            if key == "export.pitch_shift" or key.startswith("export.defaults.")
        },
    )


def generator_job(config: DictConfig, given: Collection[str] = ()) -> GeneratorJob:
    """Build the typed job.

    Args:
        config: the script's configuration.
        given: keys that somebody typed; those that have no effect are refused.
    Raises:
        ConfigError: if neither or both of run and voice are given, or a value is of a wrong kind, unknown or without
            effect.
    """
    plain = to_plain(config)
    check_settings(plain)
    settings: dict[str, Any] = plain["export"]
    rvc_format = find_rvc_format(settings["kind"], settings["precision"])
    if plain["run"] and plain["voice"]:
        raise ConfigError(f"run={plain['run']} and voice={plain['voice']} are given; export one of them")
    _refuse_idle(plain)
    refuse_unread(plain, given)
    file = Path(str(plain["voice"])).expanduser() if plain["voice"] else None
    run = None if file else Path(str(require(config, "run", HINT))).expanduser()
    if plain["checkpoint"] not in ("best", "last"):
        raise ConfigError(f"checkpoint={plain['checkpoint']!r} is unknown; allowed: best, last")
    rows = plain["rvc"]["speakers"]
    convention = plain["rvc"]["f0_convention"]
    if convention is not None and known_convention(convention) is None:
        raise ConfigError(f"rvc.f0_convention={convention} is unknown; allowed: {', '.join(F0_CONVENTIONS)}")
    default = file.stem if file else run.resolve().name if run else ""
    return GeneratorJob(
        run=run,
        file=file,
        checkpoint=plain["checkpoint"],
        speakers=tuple(as_list(rows)) if rows is not None else None,
        name=check_voice_name(str(plain["name"] or default)),
        root=Path(str(settings["root"])).expanduser(),
        rvc_format=rvc_format,
        precision=settings["precision"],
        embedder=settings.get("embedder"),
        encoder=str(plain["rvc"]["embedder"]) if plain["rvc"]["embedder"] is not None else None,
        f0_convention=known_convention(convention),
        licence=str(plain["licence"]),
        consent=str(plain["consent"]),
    )


def _refuse_idle(plain: dict[str, Any]) -> None:
    """Refuse settings that would have no effect, also where nobody typed them; refuse_unread has the rest."""
    given = next((key for key in ("content", "pitch") if plain.get(key)), None)
    if given is not None:
        raise ConfigError(
            f"{given}= has no place in export={plain['export']['kind']}, whose program computes its own; leave it out, "
            "or type export=onnx"
        )
    idle = [f"rvc.{key}" for key, value in plain["rvc"].items() if value is not None]
    if idle and not plain["voice"]:
        raise ConfigError(f"{idle[0]} belongs to voice=<file.pth>; a run knows its own")


def foreign_job(config: DictConfig, given: Collection[str] = ()) -> ForeignJob:
    """Build the typed job.

    Args:
        config: the script's configuration.
        given: keys that somebody typed; those that have no effect are refused.
    Raises:
        ConfigError: if the run is missing, or a value is of a wrong kind, unknown or without effect.
    """
    plain = to_plain(config)
    check_settings(plain)
    settings: dict[str, Any] = plain["export"]
    kind = settings["kind"]
    if kind not in ("rvc_pth", "rvc_checkpoint"):
        raise ConfigError(
            f"export.kind={kind} is unknown; choose export=onnx, rvc_pth, rvc_checkpoint, rvc_report, "
            f"{' or '.join(RVC_FORMATS)}"
        )
    if plain["voice"]:
        raise ConfigError(f"export={kind} writes a run of train.py; give run=<folder> instead of voice=")
    refuse_unread(plain, given)
    run = Path(str(require(config, "run", HINT))).expanduser()
    if plain["checkpoint"] not in ("best", "last"):
        raise ConfigError(f"checkpoint={plain['checkpoint']!r} is unknown; allowed: best, last")
    resume_in = str(settings.get("resume_in", "either"))
    if resume_in not in RESUME_IN:
        raise ConfigError(f"export.resume_in={resume_in} is unknown; allowed: {', '.join(RESUME_IN)}")
    return ForeignJob(
        run=run,
        kind=kind,
        checkpoint=plain["checkpoint"],
        name=check_voice_name(str(plain["name"] or run.resolve().name)),
        root=Path(str(settings["root"])).expanduser(),
        resume_in=resume_in,
        licence=str(plain["licence"]),
        consent=str(plain["consent"]),
    )


def _default_name(run: Path | None, imported: ImportSettings | None) -> str:
    if imported is not None:
        return imported.file.stem
    assert run is not None
    return run.resolve().name


def _import_settings(plain: dict[str, Any]) -> ImportSettings | None:
    """Return what belongs to voice=, or None without it; settings that would have no effect are refused."""
    own, others = plain["rvc"], {key: plain.get(key) for key in ("content", "pitch")}
    if not plain["voice"]:
        idle = [f"rvc.{key}" for key, value in own.items() if value is not None]
        idle += [key for key, value in others.items() if value]
        if idle:
            raise ConfigError(f"{idle[0]} belongs to voice=<file.pth>; a run knows its own")
        return None
    if plain["run"]:
        raise ConfigError(f"run={plain['run']} and voice={plain['voice']} are given; export one of them")
    return ImportSettings(
        file=Path(str(plain["voice"])).expanduser(),
        f0_convention=own["f0_convention"],
        embedder=str(own["embedder"]) if own["embedder"] is not None else None,
        speakers=tuple(as_list(own["speakers"])) if own["speakers"] is not None else None,
        **others,
    )


def _index_options(settings: dict[str, Any]) -> IndexOptions:
    return IndexOptions(**{key: value for key, value in settings.items() if key != "codebook_size"})


def _rates(value: Any) -> list[int]:
    return [check_rate(rate) for rate in as_list(value)]
