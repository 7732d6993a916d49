"""Voices of other programs blended into one, and as a shared voice that these programs load."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from utils.errors import ConfigError
from utils.export.blended_runs import name_of
from utils.export.blending import Blend, mean_state, require_alike
from utils.export.plans import FilesPlan
from utils.rvc.encoders import encoder_name
from utils.rvc.layout import POSTERIOR, SPEAKER_TABLE
from utils.rvc.reading import ForeignFile, read_foreign
from utils.rvc.writing import VoiceRecord, voice_content


def blended_file(blend: Blend) -> ForeignFile:
    """Read the voices of a blend and return it as a file of the heaviest one's kind.

    The table of speakers has the rows that all of them have. What training alone needs is left out.

    Raises:
        FormatError: if a file is not safe, not whole or no voice.
        ConfigError: if they are of different kinds, or did not begin as one.
    """
    files = {name: read_foreign(Path(name)) for name in blend.shares}
    first = files[blend.heaviest]
    for file in files.values():
        _require_same_kind(first, file)
    rows = min(file.layout.num_speakers for file in files.values())
    states = {name: _shared(file, rows) for name, file in files.items()}
    require_alike({blend.heaviest: states[blend.heaviest]} | states)
    weights = mean_state(list(states.values()), list(blend.shares.values()))
    known = [file for name, file in files.items() if blend.shares[name] > 0.0]
    only = known[0] if len(known) == 1 else None
    return replace(
        first,
        weights=weights,
        layout=replace(first.layout, num_speakers=rows, has_posterior=first.layout.vits is not None),
        f0_convention=_only([file.f0_convention for file in known]),
        embedder=_only([file.embedder for file in known]),
        trained_speakers=min(rows, max(file.trained_speakers for file in known)),
        speakers=_speakers(known, rows),
        epoch=only.epoch if only else 0,
        step=only.step if only else 0,
        own={"encoder": dict(first.encoder)} if first.encoder else {},
    )


def blended_voice_files(plan: FilesPlan, blend: Blend) -> tuple[dict[str, Any], list[str]]:
    """Return a shared voice .pth of blended ones by its name, and notes.

    Raises:
        ConfigError: if it is no generator of RVC of a published size.
    """
    file = blended_file(blend)
    published = [item for item in file.layout.fits if item.sample_rate == file.sample_rate]
    if not published:
        raise ConfigError(f"blend: {file} is of no size that other programs know; type export=onnx")
    rows = file.layout.num_speakers
    names = file.speakers or ((plan.name,) if rows == 1 else tuple(f"row {row}" for row in range(rows)))
    record = VoiceRecord(
        name=plan.name, published=published[0], has_f0=file.layout.has_f0, epoch=file.epoch, step=file.step,
        speakers=names, embedder=file.embedder or "contentvec", f0_convention=file.f0_convention or "zero_unvoiced",
        dataset_seconds=0.0, created=datetime.now(UTC).isoformat(timespec="seconds"),
        own={"encoder": dict(file.encoder), "licence": plan.licence, "consent": plan.consent},
    )  # fmt: skip
    content = voice_content(file.weights, record)
    said = ", ".join(f"{Path(name).stem} {share:g}" for name, share in blend.shares.items())
    content["info"] = f"blend: {said}"
    del content["dataset_length"]  # nobody knows it
    if file.f0_convention is None:  # neither does a blend
        del content["voclo_trainer"]["f0_convention"]
    if file.embedder is None:
        del content["voclo_trainer"]["embedder"], content["embedder_model"]
    return {f"{plan.name}.pth": content}, [f"{published[0].name}, blend of {said}; {rows} row(s) of speakers"]


def _require_same_kind(one: ForeignFile, other: ForeignFile) -> None:
    facts = (
        ("have different rates", one.sample_rate, other.sample_rate),
        ("were trained on different content encoders", _encoder(one), _encoder(other)),
        ("have different f0 in unvoiced frames", one.f0_convention, other.f0_convention),
        ("have different versions", one.layout.version, other.layout.version),
        ("have different vocoders", one.layout.vocoder, other.layout.vocoder),
        ("are of different programs", one.bins, other.bins),
    )
    for words, ours, theirs in facts:
        if None not in (ours, theirs) and ours != theirs:
            raise ConfigError(
                f"blend: {one.path} and {other.path} {words} ({ours}, {theirs}); only voices of one kind can be blended"
            )
    wrong = next((file for file in (one, other) if file.layout.role != "generator"), None)
    if wrong is not None:
        raise ConfigError(f"blend: {wrong.path} is a {wrong.layout}; voices can be blended")


def _encoder(file: ForeignFile) -> str | None:
    return encoder_name(file.embedder) if file.embedder else None


def _speakers(files: Sequence[ForeignFile], rows: int) -> tuple[str, ...]:
    """Return the names of the rows: those of all files, or where a configuration names them, of each row's speakers."""
    names = [file.speakers[:rows] for file in files]
    if len(set(names)) == 1:
        return names[0]
    if files[0].layout.is_rvc or not all(names):
        return ()
    return tuple(name_of(list(row)) for row in zip(*names, strict=False))


def _shared(file: ForeignFile, rows: int) -> dict[str, Any]:
    # a conversion has no use for the posterior, but that of VITS hears with it
    unused = () if file.layout.vits is not None else (POSTERIOR,)
    kept = {name: value.float() for name, value in file.weights.items() if not name.startswith(unused)}
    return {**kept, SPEAKER_TABLE: kept[SPEAKER_TABLE][:rows]}


def _only(values: Sequence[Any]) -> Any:
    """Return the value of those that have one; they agree."""
    return next((value for value in values if value is not None), None)
