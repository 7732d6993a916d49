"""Turn a finished multi-speaker run into the base voice that pretrained=builtin starts from.

python -m benchmarks.base_voice --run runs/base
"""

import argparse
from pathlib import Path

from utils.console import emit
from utils.training.checkpoints import PAYLOAD_KEY, checkpoint_path, read_checkpoint, save_weights

WEIGHTS = Path(__file__).resolve().parents[1] / "models" / "weights"


def main() -> None:
    """Write models/weights/lite_base_{generator,discriminator}.safetensors from a run's checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of the multi-speaker run")
    parser.add_argument("--checkpoint", default="last", help="best or last")
    parser.add_argument("--version", default="1", help="version recorded in the files")
    options = parser.parse_args()
    content = read_checkpoint(checkpoint_path(options.run, options.checkpoint))
    state = content["state_dict"]
    encoder = content[PAYLOAD_KEY]["dataset"]["features"]["content"]["identity"]
    metadata = {
        "version": options.version,
        "steps": str(int(state["steps_done"])),
        "content_weights_sha256": str(encoder.get("weights_sha256", "")),
    }
    for prefix, name in (("averaged.", "generator"), ("discriminator.", "discriminator")):
        tensors = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        path = WEIGHTS / f"lite_base_{name}.safetensors"
        save_weights(path, tensors, metadata)
        emit(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
