"""A run of ours as files that RVC-WebUI and Applio load: a shared voice, or a pair to resume training from."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from utils.config import select, to_yaml
from utils.errors import ConfigError, FormatError
from utils.export.analysis import name_remarks
from utils.export.blended_runs import read_voice
from utils.export.description import without_places
from utils.export.outcome import ExportOutcome
from utils.export.plans import RESUME_IN, FilesPlan
from utils.export.rvc.blended_files import blended_voice_files
from utils.export.rvc.sovits_files import sovits_training_files
from utils.export.rvc.vits_files import vits_training_files
from utils.export.staging import move_into_place, staging_folder
from utils.files import atomic_write, atomic_write_json
from utils.rvc.encoders import CONTENTVEC, encoder_name, require_published_content
from utils.rvc.layout import SPEAKER_TABLE, is_rvc, layout_of, legacy_state, shapes_of
from utils.rvc.reading import known_convention
from utils.rvc.sovits import is_sovits
from utils.rvc.vits import is_vits
from utils.rvc.writing import (
    VoiceRecord,
    optimizer_content,
    training_content,
    voice_content,
    with_published_speakers,
)
from utils.training.checkpoint_checks import (
    PAYLOAD_KEY,
    require_optimizers,
    steps_done,
    stored_config,
    stored_dataset,
)
from utils.training.checkpoints import stored_generator, voice_state


def export_files(plan: FilesPlan) -> ExportOutcome:
    """Write the files of a plan; those that are there are replaced only by complete ones.

    Raises:
        ConfigError: if the run is absent or not one of RVC's networks of a published size.
        FormatError: if its checkpoint is damaged.
    """
    files, notes = _files(plan)
    target = plan.root / plan.name
    with staging_folder(target, files) as folder:
        for name, value in files.items():
            if name.endswith(".json"):
                atomic_write_json(folder / name, value)
            else:
                atomic_write(folder / name, partial(torch.save, value))
        written = move_into_place(folder, target, lambda path: False)
    return ExportOutcome(folder=target, files=written, notes=tuple(notes))


def _files(plan: FilesPlan) -> tuple[dict[str, Any], list[str]]:
    """Return what is written, by name, and notes."""
    if plan.blend is not None and plan.blend.kind == "files":
        return blended_voice_files(plan, plan.blend)
    path, content = read_voice(plan.run, plan.checkpoint, plan.blend, plan.trust)
    model = stored_generator(content, path, plan.trust)
    require_same_shapes(content, path, model)
    if plan.kind == "rvc_checkpoint" and is_sovits(model.state_dict()):
        return sovits_training_files(plan, content, path, model)
    if plan.kind == "rvc_checkpoint" and is_vits(legacy_state(model.state_dict())):
        return vits_training_files(plan, content, path, model)
    return (_voice_files if plan.kind == "rvc_pth" else _training_files)(plan, content, path)


def _voice_files(plan: FilesPlan, content: dict[str, Any], path: Path) -> tuple[dict[str, Any], list[str]]:
    weights = legacy_state(voice_state(content["state_dict"]))
    _require_rvc(plan, weights, "generator")
    record = describe_run(plan, content, path, weights)
    notes = [
        f"{record.published.name} {'with' if record.has_f0 else 'without'} f0, encoder {record.embedder}, "
        f"f0 {record.f0_convention}, {len(weights[SPEAKER_TABLE])} speaker(s); the posterior is left out"
    ]
    if encoder_name(record.embedder) != CONTENTVEC:
        notes.append(
            f"note: RVC-WebUI feeds every voice with ContentVec, this one listens to {record.embedder}; Applio looks "
            "for an encoder of that name"
        )
    notes += [f"note: {remark}" for remark in name_remarks(Path(f"{plan.name}.pth"))]
    if record.published.vocoder != "HiFi-GAN":
        notes.append(f"note: the vocoder {record.published.vocoder} is Applio's; other programs do not load it")
    return {f"{plan.name}.pth": voice_content(weights, record)}, notes


def _training_files(plan: FilesPlan, content: dict[str, Any], path: Path) -> tuple[dict[str, Any], list[str]]:
    state = content["state_dict"]
    generator, discriminator = (
        legacy_state({name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)})
        for prefix in ("generator.", "discriminator.")
    )
    _require_rvc(plan, generator, "generator")
    _require_rvc(plan, discriminator, "discriminator")
    record = describe_run(plan, content, path, generator)
    padded = with_published_speakers(generator)
    num_speakers = len(padded[SPEAKER_TABLE])
    if plan.resume_in == "rvc_webui" and record.published.vocoder != "HiFi-GAN":
        raise ConfigError(
            f"export.resume_in=rvc_webui: {plan.run} has the vocoder {record.published.vocoder}, which Applio alone "
            "knows; type export.resume_in=applio"
        )
    order = RESUME_IN[plan.resume_in]
    learning_rate = select(stored_config(content, path, plan.trust), "optim.optimizer.lr")
    if type(learning_rate) not in (int, float):
        raise FormatError(
            f"the configuration in {path} is damaged: optim.optimizer.lr is no number; get the file again"
        )
    require_optimizers(
        content, path, [[tuple(value.shape) for value in own.values()] for own in (generator, discriminator)]
    )
    states = content["optimizer_states"]
    files = {}
    # discriminators are numbered alike in both programs, so their moments are kept in any case
    for letter, weights, own, wanted, index in (
        ("G", padded, generator, order, 0),
        ("D", discriminator, discriminator, order or "rvc_webui", 1),
    ):
        optimizer = optimizer_content(states[index], list(own), wanted, num_speakers)
        files[f"{letter}_{record.step}.pth"] = training_content(
            weights, optimizer, record, learning_rate=float(learning_rate)
        )
    moments = (
        f"the generator's optimizer is numbered as {plan.resume_in} does; another program must not load it"
        if order
        else "the generator's optimizer starts anew, since RVC-WebUI and Applio number it differently; "
        "export.resume_in=rvc_webui or applio keeps its state for one of them"
    )
    more = num_speakers - len(generator[SPEAKER_TABLE])
    table = (
        f"speaker table: {len(generator[SPEAKER_TABLE])} row(s) of the run and {more} of their mean, for {num_speakers}"
    )
    return files, [moments, table]


def describe_run(plan: FilesPlan, content: dict[str, Any], path: Path, weights: Mapping[str, Tensor]) -> VoiceRecord:
    """Collect what the files say about a checkpoint.

    Raises:
        ConfigError: if its generator is of no published size, or listens to another layer of its encoder.
    """
    payload = content[PAYLOAD_KEY]
    config, dataset = stored_config(content, path, plan.trust), stored_dataset(content, path)
    rate = int(select(config, "audio.sample_rate"))
    layout = layout_of(shapes_of(weights))
    published = [item for item in layout.fits if item.sample_rate == rate]
    if not published:
        raise ConfigError(
            f"{plan.run} holds a {layout} at {rate} Hz, which no other program knows; train with experiment=rvc_v2_48k "
            "or its kin on content of 768 values (v1: 256) for export=rvc_pth and export=rvc_checkpoint"
        )
    require_published_content(dataset.content.identity, layout.version, str(plan.run))
    return VoiceRecord(
        name=plan.name,
        published=published[0],
        has_f0=layout.has_f0,
        epoch=max(1, int(content.get("epoch", 0))),
        step=steps_done(content),
        speakers=tuple(dataset.speaker_names),
        embedder=str(dataset.content.identity.get("id")),
        f0_convention=known_convention(dataset.f0_convention) or "zero_unvoiced",
        dataset_seconds=60.0 * sum(speaker.minutes for speaker in dataset.speakers),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        own={
            "encoder": dict(dataset.content.identity),
            "licence": plan.licence,
            "consent": plan.consent,
            "metrics": {name: float(value) for name, value in payload["metrics"].items()},
            "config": to_yaml(without_places(config)),
        },
    )


def _require_rvc(plan: FilesPlan, weights: Mapping[str, Tensor], role: str) -> None:
    if not weights or not is_rvc(weights) or layout_of(shapes_of(weights)).role != role:
        raise ConfigError(f"{plan.run} has no {role} of RVC; export={plan.kind} needs a run of experiment=rvc_<..>")


def require_same_shapes(content: dict[str, Any], path: Path, model: nn.Module) -> None:
    """Check that the weights that are being trained are of the network whose average is exported.

    Raises:
        FormatError: if one is missing, unexpected or of another shape.
    """
    prefix, wanted = "generator.", shapes_of(model.state_dict())
    found = {key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)}
    if shapes_of(found) != wanted:
        raise FormatError(f"checkpoint {path} holds other weights of the generator than its model has; get it again")
