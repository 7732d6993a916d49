"""A run of ours as files that RVC-WebUI and Applio load: a shared voice, or a pair to resume training from."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch
from torch import Tensor

from utils.config import from_yaml, required, select, to_yaml
from utils.config.export import ExportJob
from utils.errors import ConfigError
from utils.export.delivery import without_places
from utils.export.plans import RESUME_IN, FilesPlan, plan_files, plan_generator
from utils.export.rvc.generators import export_generator
from utils.export.rvc.imported_voice import report_file
from utils.export.staging import move_into_place, staging_folder
from utils.files import atomic_write
from utils.rvc.encoders import CONTENTVEC, encoder_name, require_published_content
from utils.rvc.layout import SPEAKER_TABLE, is_rvc, layout_of, legacy_state, shapes_of
from utils.rvc.reading import known_convention
from utils.rvc.writing import (
    VoiceRecord,
    optimizer_content,
    training_content,
    voice_content,
    with_published_speakers,
)
from utils.training.checkpoints import PAYLOAD_KEY, checkpoint_path, read_checkpoint, trained_dataset, voice_state
from utils.voice_file.rvc_formats import RVC_FORMATS


def run_foreign(job: ExportJob) -> list[str]:
    """Do what another export= than onnx asks for and return lines that say what was done."""
    if job.export.kind in RVC_FORMATS:
        return export_generator(plan_generator(job))
    if job.export.kind == "rvc_report":
        return report_file(required("voice", job.voice, "python export_onnx.py voice=<file.pth> export=rvc_report"))
    return export_foreign(plan_files(job))


def export_foreign(job: FilesPlan) -> list[str]:
    """Write the files of a job; those that are there are replaced only by complete ones.

    Returns:
        Lines that say what was written.
    Raises:
        ConfigError: if the run is absent or not one of RVC's networks of a published size.
        FormatError: if its checkpoint is damaged.
    """
    content = read_checkpoint(checkpoint_path(job.run, job.checkpoint))
    files, notes = (_voice_files if job.kind == "rvc_pth" else _training_files)(job, content)
    target = job.root / job.name
    with staging_folder(target, files) as folder:
        for name, value in files.items():
            atomic_write(folder / name, partial(torch.save, value))
        written = move_into_place(folder, target, lambda path: False)
    return [*(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)" for path in written), *notes]


def _voice_files(job: FilesPlan, content: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    weights = legacy_state(voice_state(content["state_dict"]))
    _require_rvc(job, weights, "generator")
    record = describe_run(job, content, weights)
    notes = [
        f"{record.published.name} {'with' if record.has_f0 else 'without'} f0, encoder {record.embedder}, "
        f"f0 {record.f0_convention}, {len(weights[SPEAKER_TABLE])} speaker(s); the posterior is left out"
    ]
    if encoder_name(record.embedder) != CONTENTVEC:
        notes.append(
            f"note: RVC-WebUI feeds every voice with ContentVec, this one listens to {record.embedder}; Applio looks "
            "for an encoder of that name"
        )
    return {f"{job.name}.pth": voice_content(weights, record)}, notes


def _training_files(job: FilesPlan, content: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    state = content["state_dict"]
    generator, discriminator = (
        legacy_state({name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)})
        for prefix in ("generator.", "discriminator.")
    )
    _require_rvc(job, generator, "generator")
    _require_rvc(job, discriminator, "discriminator")
    record = describe_run(job, content, generator)
    padded = with_published_speakers(generator)
    num_speakers = len(padded[SPEAKER_TABLE])
    order = RESUME_IN[job.resume_in]
    learning_rate = float(select(from_yaml(content[PAYLOAD_KEY]["config"]), "optim.optimizer.lr"))
    states = content["optimizer_states"]
    files = {}
    # discriminators are numbered alike in both programs, so their moments are kept in any case
    for letter, weights, own, wanted, index in (
        ("G", padded, generator, order, 0),
        ("D", discriminator, discriminator, order or "rvc_webui", 1),
    ):
        optimizer = optimizer_content(states[index], list(own), wanted, num_speakers)
        files[f"{letter}_{record.step}.pth"] = training_content(weights, optimizer, record, learning_rate=learning_rate)
    moments = (
        f"the generator's optimizer is numbered as {job.resume_in} does; another program must not load it"
        if order
        else "the generator's optimizer starts anew, since RVC-WebUI and Applio number it differently; "
        "export.resume_in=rvc_webui or applio keeps its state for one of them"
    )
    more = num_speakers - len(generator[SPEAKER_TABLE])
    table = (
        f"speaker table: {len(generator[SPEAKER_TABLE])} row(s) of the run and {more} of their mean, for {num_speakers}"
    )
    return files, [moments, table]


def describe_run(job: FilesPlan, content: dict[str, Any], weights: Mapping[str, Tensor]) -> VoiceRecord:
    """Collect what the files say about a checkpoint.

    Raises:
        ConfigError: if its generator is of no published size, or listens to another layer of its encoder.
    """
    payload = content[PAYLOAD_KEY]
    config, dataset = from_yaml(payload["config"]), trained_dataset(content)
    rate = int(select(config, "audio.sample_rate"))
    layout = layout_of(shapes_of(weights))
    published = [item for item in layout.fits if item.sample_rate == rate]
    if not published:
        raise ConfigError(
            f"{job.run} holds a {layout} at {rate} Hz, which no other program knows; train with experiment=rvc_v2_48k "
            "or its kin on content of 768 values (v1: 256) for export=rvc_pth and export=rvc_checkpoint"
        )
    require_published_content(dataset.content.identity, layout.version, str(job.run))
    return VoiceRecord(
        name=job.name,
        published=published[0],
        has_f0=layout.has_f0,
        epoch=max(1, int(content.get("epoch", 0))),
        step=int(content["state_dict"]["steps_done"]),
        speakers=tuple(dataset.speaker_names),
        embedder=str(dataset.content.identity.get("id")),
        f0_convention=known_convention(dataset.f0_convention) or "zero_unvoiced",
        dataset_seconds=60.0 * sum(speaker.minutes for speaker in dataset.speakers),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        own={
            "encoder": dict(dataset.content.identity),
            "licence": job.licence,
            "consent": job.consent,
            "metrics": {name: float(value) for name, value in payload["metrics"].items()},
            "config": to_yaml(without_places(config)),
        },
    )


def _require_rvc(job: FilesPlan, weights: Mapping[str, Tensor], role: str) -> None:
    if not weights or not is_rvc(weights) or layout_of(shapes_of(weights)).role != role:
        raise ConfigError(f"{job.run} has no {role} of RVC; export={job.kind} needs a run of experiment=rvc_<..>")
