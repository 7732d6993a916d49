"""A generator of RVC without what surrounds it: of a run of ours, or of a shared voice."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.base import BaseVoiceConversionModel
from utils.config import to_yaml
from utils.errors import ConfigError
from utils.export.blended_runs import read_voice
from utils.export.description import without_places
from utils.export.plans import GeneratorPlan
from utils.export.rvc.imported_voice import load_imported_network
from utils.rvc.encoders import require_published_content
from utils.rvc.layout import is_rvc, layout_of, legacy_state, shapes_of
from utils.rvc.reading import F0Convention, known_convention
from utils.training.checkpoint_checks import PAYLOAD_KEY, steps_done, stored_config, stored_dataset
from utils.training.checkpoints import stored_generator, voice_state
from utils.voice_file.rvc_formats import GeneratorShape


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


def load_generator(plan: GeneratorPlan) -> GeneratorVoice:
    """Read the generator of a run or of a shared voice; its encoder and pitch tracker are not needed.

    Raises:
        ConfigError: if it is none of RVC's, or listens to another layer of its encoder than the programs give.
        FormatError: if the file is damaged.
    """
    if plan.file is not None:
        return _of_file(plan, plan.file)
    assert plan.run is not None
    return _of_run(plan, plan.run)


def _of_file(plan: GeneratorPlan, path: Path) -> GeneratorVoice:
    network = load_imported_network(path, plan.speakers, plan.blend)
    file = network.file
    if not file.layout.is_rvc:
        raise ConfigError(f"voice={path} is a {file.layout}, which programs of RVC do not load; type export=onnx")
    require_published_content(file.encoder, file.layout.version, str(path))
    return GeneratorVoice(
        model=network.model.eval(),
        speakers=network.speakers,
        encoder=plan.encoder or file.embedder or "an encoder that its file does not name",
        f0_convention=plan.f0_convention or file.f0_convention,
        step=file.step,
        config=to_yaml(network.config),
        encoder_identity=dict(file.encoder),
    )


def _of_run(plan: GeneratorPlan, run: Path) -> GeneratorVoice:
    path, content = read_voice(run, plan.checkpoint, plan.blend, plan.trust)
    payload = content[PAYLOAD_KEY]
    config, dataset = stored_config(content, path, plan.trust), stored_dataset(content, path)
    weights = voice_state(content["state_dict"])
    if not is_rvc(weights):
        raise ConfigError(
            f"{run} has no generator of RVC; export={plan.rvc_format.name} needs a run of experiment=rvc_<..> "
            "(export=onnx makes a graph of every voice)"
        )
    identity, version = dataset.content.identity, layout_of(shapes_of(legacy_state(weights))).version
    require_published_content(identity, version, str(run))
    model = stored_generator(content, path, plan.trust)
    return GeneratorVoice(
        model=model.requires_grad_(False).eval(),
        speakers=dataset.speaker_names,
        encoder=str(identity.get("id")),
        f0_convention=known_convention(dataset.f0_convention) or "zero_unvoiced",
        step=steps_done(content),
        config=to_yaml(without_places(config)),
        encoder_identity=without_places(dict(identity)),
        pitch=without_places(dict(dataset.pitch.identity)),
        dataset_fingerprint=dataset.fingerprint,
        metrics={name: float(value) for name, value in payload["metrics"].items() if math.isfinite(float(value))},
    )
