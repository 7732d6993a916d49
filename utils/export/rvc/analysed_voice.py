"""A voice of another program, looked into: what it says, its weights' health, and each parameter."""

from pathlib import Path
from typing import Any

from torch import nn

from utils.config import Pluggable
from utils.config.train import train_job
from utils.export.analysis import Analysis, name_remarks
from utils.export.health import health_of
from utils.export.rvc.imported_voice import discriminator_option, voice_config
from utils.rvc.layout import POSTERIOR, SPEAKER_TABLE, shapes_of
from utils.rvc.matching import compare, network_weights
from utils.rvc.reading import PROGRAM_NAMES, ForeignFile, read_foreign


def analyse_voice(path: Path) -> Analysis:
    """Look into a shared voice, or a generator or discriminator of a training; NaN is reported, not refused.

    Raises:
        FormatError: if the file is not safe, not whole or of another kind.
        ConfigError: if there is no published network of its size.
    """
    file = read_foreign(path, must_be_finite=False)
    network = _network(file)
    ours = network_weights(network)
    if not file.layout.has_posterior:
        ours = {name: value for name, value in ours.items() if not name.startswith(POSTERIOR)}
    match = compare(shapes_of(file.weights), shapes_of(ours))
    health = health_of(file.weights)
    return Analysis(
        path=path,
        what=str(file),
        facts=_facts(file),
        speakers=[{"row": f"row {row}", "name": name} for row, name in enumerate(file.speakers)],
        health=health,
        remarks=[*name_remarks(path), *_remarks(file)],
        comparison=match.summary(),
        parameters=match.rows(),
    )


def _network(file: ForeignFile) -> nn.Module:
    if file.layout.role == "discriminator":
        made: nn.Module = train_job([f"discriminator={discriminator_option(file.layout)}"]).discriminator.build()
        return made
    sizes = {"content_dim": file.layout.content_dim, "num_speakers": file.layout.num_speakers}
    generator: nn.Module = Pluggable.of(voice_config(file)["model"], "model").build(**sizes)
    return generator


def _facts(file: ForeignFile) -> dict[str, Any]:
    layout = file.layout
    facts: dict[str, Any] = {"program": PROGRAM_NAMES.get(file.program), "version": layout.version}
    training = {"epochs": file.epoch or None, "steps": file.step or None, "hash": file.said.get("hash")}
    if layout.role == "discriminator":
        return facts | training
    return (
        {key: file.said.get(key) for key in ("name", "creator", "created")}
        | facts
        | {
            "architecture": _architecture(file),
            "vocoder": layout.vocoder,
            "sample_rate": file.sample_rate,
            "uses_f0": layout.has_f0,
            "f0_convention": file.f0_convention,
            "embedder": "none: it reads the audio itself" if layout.vits else file.embedder,
            "embedder_layer": file.content_layer,
            "content_dim": layout.content_dim or None,
            "dataset_length": file.said.get("dataset_length"),
            "speakers_trained": file.trained_speakers or None,
            "speaker_rows": layout.num_speakers,
            "info": file.said.get("info"),
        }
        | training
    )


def _architecture(file: ForeignFile) -> str:
    if file.layout.vits is not None:
        return "VITS"
    return f"So-VITS-SVC {file.bins or ''}".strip() if file.layout.sovits else "RVC"


def _remarks(file: ForeignFile) -> list[str]:
    rows, trained = file.layout.num_speakers, file.trained_speakers
    if file.layout.role == "discriminator" or SPEAKER_TABLE not in file.weights:
        return []
    if trained and trained < rows:
        unused = f"{rows - trained} of {rows} rows of speakers are unused ({trained} to {rows - 1})"
        return [f"{unused}; rvc.speakers=[0] keeps the first alone"]
    if rows > 1 and not trained and not file.speakers:
        return [f"nobody says which of the {rows} rows of speakers were trained; most voices have one, row 0"]
    return []
