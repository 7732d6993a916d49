"""A voice that another program trained, made ready to export: a shared .pth of RVC-WebUI or Applio."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel
from models.conversion import AudioConverter
from utils.audio.highpass import HighPass
from utils.audio.resample import RationalResampler
from utils.config import Pluggable, audio_config
from utils.config.train import train_job
from utils.corpus.description import DatasetDescription, FeatureDescription, SpeakerDescription
from utils.errors import ConfigError
from utils.export.blended_runs import blended_row, name_of
from utils.export.blending import Blend, mean_row
from utils.export.plans import ImportSettings
from utils.export.rvc.blended_files import blended_file
from utils.export.rvc.cluster_retrieval import cluster_retrieval
from utils.features.content.base import ContentEncoder
from utils.features.frontend import AnalysisFrontend, AudioFrontend
from utils.features.pitch.filling import FilledPitch
from utils.features.pitch.swift import builtin_tracker
from utils.features.retrieval import CodebookRetrieval
from utils.rvc.encoders import content_overrides, encoder_name
from utils.rvc.layout import POSTERIOR, SPEAKER_TABLE, Layout, shapes_of
from utils.rvc.matching import compare, fill, network_weights, take_speakers
from utils.rvc.reading import F0Convention, ForeignFile, read_foreign
from utils.rvc.widths import width_overrides
from utils.training.checkpoints import TrainedVoice
from utils.voice_file.metadata import NO_PART

# what RVC's programs put the audio of a conversion through; So-VITS-SVC and VITS hear it as it is, also in training
HIGHPASS_HZ, HIGHPASS_ORDER = 48.0, 5


@dataclass(frozen=True)
class ImportedNetwork:
    """A foreign generator without front end: its file, model and audio sections, rows of its speaker table.

    Attributes:
        blended: name of a last speaker that is a mean of others; None without one.
    """

    file: ForeignFile
    config: dict[str, Any]
    model: BaseVoiceConversionModel
    rows: tuple[int, ...]
    summary: str
    blended: str | None = None

    @property
    def speakers(self) -> list[str]:
        """Names of the speakers."""
        return [*_names(self.file, self.rows), *([self.blended] if self.blended else [])]


def load_imported_network(
    path: Path, speakers: tuple[int, ...] | None = None, blend: Blend | None = None
) -> ImportedNetwork:
    """Read the generator of a foreign voice.

    Args:
        path: a shared .pth.
        speakers: rows of its speaker table to keep; None keeps all.
        blend: of several files, of which this is the heaviest, or of kept speakers; None for the file as it is.
    Raises:
        FormatError: if the file is not safe, not whole or no voice.
        ConfigError: if it does not fit the published network of its size.
    """
    file = blended_file(blend) if blend is not None and blend.kind == "files" else read_foreign(path)
    config = voice_config(file)
    # the table of So-VITS-SVC has rows that nobody trained
    count = len(file.speakers) if file.layout.sovits and file.speakers else file.layout.num_speakers
    rows = speakers if speakers is not None else tuple(range(count))
    weights, blended = take_speakers(file.weights, rows, "rvc.speakers"), None
    if blend is not None and blend.kind == "speakers":
        weights, blended = _with_blended_speaker(weights, _names(file, rows), blend, path)
    node = Pluggable.of(config["model"], "model")
    model: BaseVoiceConversionModel = node.build(
        content_dim=file.layout.content_dim, num_speakers=len(weights[SPEAKER_TABLE])
    )
    ours = network_weights(model)
    own: dict[str, Tensor] = {}
    if not file.layout.has_posterior:  # conversion has no use for it
        own = {name: value for name, value in ours.items() if name.startswith(POSTERIOR)}
    match = compare(shapes_of(weights), shapes_of({name: ours[name] for name in ours if name not in own}))
    if not match.is_complete:
        raise ConfigError(f"voice={path} does not fit {node.target}: {match.summary()}")
    fill(model, {**weights, **own})
    model.requires_grad_(False)
    model.eval()
    return ImportedNetwork(file, config, model, rows, match.summary(), blended)


def _with_blended_speaker(
    weights: dict[str, Tensor], names: list[str], blend: Blend, path: Path
) -> tuple[dict[str, Tensor], str]:
    """Return weights with one speaker more, the mean of others, and its name."""
    numbers, shares = blended_row(names, blend, str(path))
    row = mean_row(weights[SPEAKER_TABLE].float(), numbers, shares)
    table = torch.cat([weights[SPEAKER_TABLE].float(), row])
    return {**weights, SPEAKER_TABLE: table}, name_of([names[number] for number in numbers])


def load_imported_voice(settings: ImportSettings, io_rate: int | None = None) -> TrainedVoice:
    """Read a foreign voice and put it together with a content encoder and a pitch tracker.

    Args:
        settings: the file and what belongs to it.
        io_rate: rate of audio in and out, a multiple of 100; None means the voice's own rate.
    Raises:
        FormatError: if the file is not safe, not whole or no voice.
        ConfigError: if something that it needs is not given or does not fit.
    """
    network = load_imported_network(settings.file, settings.speakers, settings.blend)
    file, config, model = network.file, network.config, network.model
    rate = io_rate or model.sample_rate
    if model.reads_audio:
        return _reading_audio(network, settings, rate)
    embedder = settings.embedder or file.embedder
    encoder = _encoder(settings, file, embedder)
    convention = _convention(settings, file)
    tracker = _tracker(settings, convention)
    resampler = RationalResampler(model.sample_rate, rate)
    highpass = HighPass(HIGHPASS_HZ, rate, order=HIGHPASS_ORDER) if file.layout.is_rvc else None
    retrieval = _retrieval(settings, network)
    converter = AudioConverter(model, AnalysisFrontend(encoder, tracker, rate), retrieval, resampler, highpass=highpass)
    converter.requires_grad_(False)
    converter.eval()
    record = _record(network, settings) | {
        "f0_convention": convention,
        "embedder": embedder or encoder.identity["id"],
        "cluster": settings.cluster.name if settings.cluster else None,
        "has_recorded_encoder": _recorded_weights(file) in (None, encoder.identity.get("weights_sha256")),
    }
    dataset = _dataset(network, encoder.identity, tracker.identity)
    return TrainedVoice(model, converter, config, dataset, file.step, {}, imported=record)


def _reading_audio(network: ImportedNetwork, settings: ImportSettings, rate: int) -> TrainedVoice:
    """Return a voice that needs no encoder and no tracker, and so refuses them."""
    model, name = network.model, settings.file.name
    given = {"content": settings.content, "pitch": settings.pitch, "rvc.embedder": settings.embedder,
             "rvc.cluster": settings.cluster, "index": settings.index}  # fmt: skip
    idle = [key for key, value in given.items() if value is not None]
    if idle:
        raise ConfigError(f"{idle[0]}= does nothing: {name} is VITS, which reads the audio itself; leave it out")
    if len(network.rows) < 2:
        raise ConfigError(f"rvc.speakers={list(network.rows)}: {name} converts between its speakers; name two or more")
    resampler = RationalResampler(model.sample_rate, rate)
    converter = AudioConverter(model, AudioFrontend(rate, model.sample_rate), None, resampler)
    converter.requires_grad_(False)
    converter.eval()
    record, dataset = _record(network, settings) | {"embedder": None}, _dataset(network, NO_PART, NO_PART)
    return TrainedVoice(model, converter, network.config, dataset, network.file.step, {}, imported=record)


def _retrieval(settings: ImportSettings, network: ImportedNetwork) -> CodebookRetrieval | None:
    if settings.cluster is None:
        return None
    if network.file.layout.sovits is None:
        raise ConfigError(f"rvc.cluster={settings.cluster} is for a voice of So-VITS-SVC; leave it out")
    if settings.index is not None:
        raise ConfigError(f"index={settings.index} and rvc.cluster={settings.cluster}: a voice has one; leave one out")
    if network.blended:
        raise ConfigError(f"rvc.cluster={settings.cluster} has nothing of a blend of speakers; leave one of them out")
    return cluster_retrieval(settings.cluster, network.rows, network.speakers, network.file.layout.content_dim)


def _record(network: ImportedNetwork, settings: ImportSettings) -> dict[str, Any]:
    """Return what a graph keeps of the file that its voice came from."""
    file = network.file
    record: dict[str, Any] = {
        "file": settings.file.name,
        "what": str(file),
        "program": file.program,
        "speaker_rows": list(network.rows),
        "speaker_rows_in_file": file.layout.num_speakers,
        "speakers_trained": file.trained_speakers,
        "epoch": file.epoch,
        "parameters": network.summary,
    }
    if settings.blend is not None:
        record["blend"] = str(settings.blend) if settings.blend.kind == "speakers" else settings.blend.by_file_name()
    return record


def _dataset(network: ImportedNetwork, content: dict[str, Any], f0_hz: dict[str, Any]) -> DatasetDescription:
    """Describe the unknown dataset of a foreign voice by what its conversions use."""
    return DatasetDescription(
        name="",
        audio=audio_config(network.config["audio"]),
        speakers=tuple(SpeakerDescription(name=name) for name in network.speakers),
        features={"content": FeatureDescription(identity=content), "f0_hz": FeatureDescription(identity=f0_hz)},
    )


def explain_import(voice: TrainedVoice) -> list[str]:
    """Return lines that say what was taken from the file of an imported voice and what was not."""
    record = voice.imported
    assert record is not None
    kept, rows, trained = len(voice.speakers), record["speaker_rows_in_file"], record["speakers_trained"]
    how = "all of them" if kept == rows else f"rows {record['speaker_rows']}"
    said = f", of which it says {trained} were trained" * bool(trained)
    blend = [f"blend of {record['blend']}"] if "blend" in record else []
    if record["embedder"] is None:
        heard = "it reads the audio itself: no content encoder, no pitch; source_id says which of its speakers it hears"
        return [record["what"], *blend, record["parameters"], _speaker_line(rows, said, how), heard]
    other = "" if record["has_recorded_encoder"] else " (with other weights or another precision than the file records)"
    return [
        record["what"],
        *blend,
        record["parameters"],
        _speaker_line(rows, said, how),
        *([f"index_rate blends in what {record['cluster']} holds"] if record.get("cluster") else []),
        f"content encoder {record['embedder']}{other}, f0 {record['f0_convention']}",
    ]


def _speaker_line(rows: int, said: str, how: str) -> str:
    return f"speaker table: {rows} rows in the file{said}; in the voice {how} (rvc.speakers=[0] keeps the first alone)"


def discriminator_option(layout: Layout) -> str:
    """Return our option for the discriminator of a file."""
    return "sovits" if layout.version == "sovits" else f"rvc_{layout.version or 'v2'}"


def voice_config(file: ForeignFile) -> dict[str, Any]:
    """Compose the model and audio sections of a foreign voice.

    Raises:
        ConfigError: if it is no generator of a published size.
    """
    layout = file.layout
    if layout.sovits is not None:
        if file.bins is None:
            raise ConfigError(
                f"voice={file.path} is a {layout}; put the config.json that it came with into its folder, which says "
                "version, encoder and speakers"
            )
        model = f"model=sovits_{file.bins.replace('.', '_')}"
        composed = train_job([model, "audio=sovits", *layout.sovits.overrides()]).to_plain()
        return {"model": composed["model"], "audio": composed["audio"]}
    if layout.vits is not None:
        if file.sample_rate is None:
            raise ConfigError(
                f"voice={file.path} is a {layout}; put the config.json that it came with into its folder, which says "
                "its rate"
            )
        composed = train_job(["model=vits_vc", "audio=vits", *layout.vits.overrides()]).to_plain()
        return {"model": composed["model"], "audio": composed["audio"]}
    fits = [item for item in layout.fits if file.sample_rate in (None, item.sample_rate)]
    if layout.role != "generator" or not fits:
        raise ConfigError(
            f"voice={file.path} is a {layout}{f' at {file.sample_rate} Hz' * bool(file.sample_rate)}; "
            "RVC v1 and v2 at 32000, 40000 and 48000 Hz, v2 also at 24000 Hz, can be exported"
        )
    if len(fits) > 1:
        raise ConfigError(
            f"voice={file.path} does not say its rate and fits {layout}; give a shared voice, which says it"
        )
    model, audio = fits[0].options
    overrides = [f"model={model}", f"audio={audio}", f"model.use_f0={str(layout.has_f0).lower()}"]
    overrides += width_overrides(shapes_of(file.weights), layout.vocoder)
    composed = train_job(overrides).to_plain()
    return {"model": composed["model"], "audio": composed["audio"]}


def _encoder(settings: ImportSettings, file: ForeignFile, embedder: str | None) -> ContentEncoder:
    dim, name = file.layout.content_dim, embedder or "an encoder that its file does not name"
    if not settings.content:
        which = content_overrides(embedder, file.layout.version, file.content_layer)
        raise ConfigError(
            f"voice={settings.file} listens to content features of {name} ({dim} values); give that encoder with "
            f"{which} content.path=<folder, file or hf:user/model>"
        )
    encoder: ContentEncoder = settings.content.build()
    identity = encoder.identity
    if embedder is not None and encoder_name(str(identity["id"])) != encoder_name(embedder):
        raise ConfigError(
            f"voice={settings.file} was trained on content features of {embedder}, content gives {identity['id']}; "
            f"choose its encoder, or type rvc.embedder={identity['id']} if the file is wrong"
        )
    layer = file.content_layer
    if encoder.dim != dim or identity.get("layer", layer) != layer:
        raise ConfigError(
            f"voice={settings.file} ({file.layout.version}) needs {dim} values of layer {layer}, the encoder "
            f"{identity['id']} gives {encoder.dim} of layer {identity.get('layer', 'unknown')}; choose its encoder"
        )
    if not encoder.is_exportable:
        raise ConfigError(f"the content encoder {identity['id']} cannot stand inside an exported graph; choose another")
    return encoder


def _recorded_weights(file: ForeignFile) -> str | None:
    """Return the hash of the encoder's weights where a file of ours has it."""
    found = file.encoder.get("weights_sha256")
    return found if isinstance(found, str) else None


def _convention(settings: ImportSettings, file: ForeignFile) -> F0Convention:
    found = settings.f0_convention or file.f0_convention
    if found is None and file.layout.has_f0:
        raise ConfigError(
            f"voice={settings.file} does not say what its f0 held in unvoiced frames; type "
            "rvc.f0_convention=zero_unvoiced (RVC-WebUI before July 2026) or rvc.f0_convention=interpolated (later)"
        )
    return found or "zero_unvoiced"


def _tracker(settings: ImportSettings, convention: F0Convention) -> Any:
    tracker = settings.pitch.build() if settings.pitch else builtin_tracker()
    if not tracker.is_exportable or not isinstance(tracker, nn.Module):
        raise ConfigError(f"the pitch tracker {tracker.identity['id']} cannot stand inside a graph; type pitch=builtin")
    identity: Any = tracker.identity
    unvoiced = identity.get("unvoiced", "zero_unvoiced")
    if unvoiced == convention:
        return tracker
    if convention == "interpolated":
        return FilledPitch(tracker)
    raise ConfigError(
        f"the f0 of the pitch tracker in unvoiced frames is {unvoiced}, that of the voice was {convention}; type "
        f"pitch=builtin, or rvc.f0_convention={unvoiced} if the voice was trained so"
    )


def _names(file: ForeignFile, rows: tuple[int, ...]) -> list[str]:
    if len(rows) == 1 and not file.speakers:
        return [file.path.stem]
    return [file.speakers[row] if row < len(file.speakers) else f"row {row}" for row in rows]
