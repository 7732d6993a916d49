"""What an exported graph says of itself: where the voice comes from and who may use it."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from utils.config import to_yaml
from utils.export.plans import ExportPlan
from utils.training.checkpoints import TrainedVoice
from utils.voice_file.controls import controls_with
from utils.voice_file.geometry import FileGeometry
from utils.voice_file.metadata import (
    AUTOMATIC_PITCH_KEY,
    CONTROLS_AS_INPUTS,
    CONTROLS_KEY,
    F0_CONVENTION,
    HIGHPASS_KEY,
    IDLE_KEY,
    NO_PART,
    TEACHER_KEY,
    VoiceMetadata,
)
from utils.voice_file.speakers import Speaker


def describe(
    plan: ExportPlan,
    voice: TrainedVoice,
    geometry: FileGeometry,
    *,
    graph_kind: str,
    index_sha256: str | None,
) -> VoiceMetadata:
    """Collect the metadata of one graph; of an imported voice nobody knows the dataset.

    Args:
        plan: of the export.
        voice: with the retrieval that goes into the graph.
        geometry: of the file.
        graph_kind: of the graph.
        index_sha256: hash of the index beside the graph, or None without one.
    """
    highpass = voice.converter.highpass
    controls = controls_with(voice.converter.special_controls)
    speakers = tuple(
        Speaker(id=index, name=speaker.name, f0_median_hz=float(speaker.f0_median_hz or 0.0))
        for index, speaker in enumerate(voice.dataset.speakers)
    )
    return VoiceMetadata(
        name=geometry.name,
        sample_rate=geometry.sample_rate,
        hop_length=geometry.hop_length,
        n_fft=geometry.n_fft,
        model_rate=voice.model.sample_rate,
        flavour=graph_kind,
        encoder=dict(NO_PART if voice.model.reads_audio else voice.dataset.content.identity),
        pitch=dict(_pitch_identity(voice)),
        speakers=speakers,
        defaults={item.name: getattr(plan.defaults, item.name) for item in controls}
        | ({"pitch_shift": 0.0} if plan.pitch_step is not None else {}),
        index_sha256=index_sha256,
        licence=plan.licence,
        consent=plan.consent,
        dataset_fingerprint=voice.dataset.fingerprint if voice.imported is voice.blend is None else "unknown",
        step=voice.step,
        metrics={name: float(value) for name, value in voice.metrics.items() if math.isfinite(float(value))},
        config=to_yaml(without_places(voice.config)),
        precision=plan.precision,
        f0_convention=str(_pitch_identity(voice).get("unvoiced", F0_CONVENTION)),
        extra={"needs_context": voice.model.needs_context, IDLE_KEY: sorted(voice.converter.idle_controls)}
        | ({"pretrained": voice.pretrained} if voice.pretrained is not None else {})
        | ({"imported": voice.imported} if voice.imported is not None else {})
        | ({"blend": voice.blend} if voice.blend is not None else {})
        | ({TEACHER_KEY: asdict(voice.dataset.teacher)} if voice.dataset.teacher is not None else {})
        | ({HIGHPASS_KEY: highpass.identity} if highpass is not None else {})
        | ({AUTOMATIC_PITCH_KEY: {"step": plan.pitch_step}} if plan.pitch_step is not None else {})
        | ({CONTROLS_KEY: CONTROLS_AS_INPUTS} if plan.options.controls_as_inputs else {}),
    )


def _pitch_identity(voice: TrainedVoice) -> dict[str, Any]:
    if voice.model.reads_audio:
        return dict(NO_PART)
    tracker = getattr(voice.converter.frontend, "pitch_tracker", None)
    return dict(tracker.identity) if tracker is not None else {}


def without_places(value: Any) -> Any:
    """Reduce absolute paths to their last part: a voice is passed on, its maker's folders are nobody's business."""
    if isinstance(value, dict):
        return {key: without_places(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_places(item) for item in value]
    if isinstance(value, str) and Path(value).expanduser().is_absolute():
        return Path(value).name
    return value
