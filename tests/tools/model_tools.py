"""Small editions of the architectures in configs/model, for tests."""

from pathlib import Path

ALL_MODEL_NAMES = sorted(
    path.stem for path in (Path(__file__).resolve().parents[2] / "configs" / "model").glob("*.yaml")
)
# the vocoders of Applio differ from rate to rate in the factors of their stages alone
MODEL_NAMES = [
    name
    for name in ALL_MODEL_NAMES
    if not name.startswith(("rvc_mrf", "rvc_refinegan")) or name.endswith(("mrf_48k", "refinegan_24k"))
]
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
    if name.startswith("sovits_"):
        return [f"model={name}", "audio=sovits", *SMALL_RVC]
    if name == "vits_vc":
        kept = ("hidden_channels", "posterior_layers", "upsample_channels", "speaker_dim", "training_frames")
        return ["model=vits_vc", "audio=vits", *(item for item in SMALL_RVC if item.split("=")[0][6:] in kept)]
    if not name.startswith("rvc_"):
        return [f"model={name}"]
    return [f"model={name}", f"audio=rvc_{name.rsplit('_', 1)[-1]}", *SMALL_RVC]
