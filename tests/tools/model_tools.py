"""Small editions of the architectures in configs/model, for tests."""

from pathlib import Path

MODEL_NAMES = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "configs" / "model").glob("*.yaml"))
SMALL_RVC = [
    "model.hidden_channels=16",
    "model.filter_channels=32",
    "model.num_layers=2",
    "model.posterior_layers=2",
    "model.upsample_channels=64",
    "model.speaker_dim=8",
    "model.training_frames=12",
]


def small_model(name: str) -> list[str]:
    """Return the overrides that choose an architecture, the audio group it needs, and widths that are fast."""
    if not name.startswith("rvc_"):
        return [f"model={name}"]
    return [f"model={name}", f"audio=rvc_{name.rsplit('_', 1)[-1]}", *SMALL_RVC]
