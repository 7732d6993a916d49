"""Make the base voice that pretrained=builtin starts from.

    python -m recipes.base_voice run=runs/base output=bases

writes the weights of a finished multi-speaker run; models/weights/lite_base.md has all its commands. After a change of
the content encoder that is nearly a linear map of its features (recipes/content_encoder/sharpen.py),

    python -m recipes.base_voice rebase=old_content.safetensors recordings=FOLDER version=4 output=bases

rewrites the layer that reads the content, so that the shipped base continues where it was. And

    python -m recipes.base_voice narrow=2 dataset=datasets/base version=6 output=narrow

makes the hidden layers of its blocks twice instead of three times as wide as the blocks.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from recipes.base_voice.base_files import NETWORKS, base_file, write_from_run
from recipes.base_voice.narrow_base import narrow_base
from recipes.base_voice.rebase import rebase
from recipes.base_voice.settings import PATHS, SHIPPED, BaseVoiceSettings
from recipes.settings import run_recipe
from utils.audio.listing import list_audio
from utils.console import emit
from utils.errors import ConfigError
from utils.files import check_new_folder


def make(settings: BaseVoiceSettings) -> None:
    """Run the recipe.

    Raises:
        ConfigError: if a key is missing, or the output has a base already.
    """
    action = settings.action()
    output = settings.path("output", "give a folder for the files of the base")
    check_new_folder(output, "output")
    for name in NETWORKS:
        if (output / base_file(name)).exists():
            raise ConfigError(f"output={output} has a {base_file(name)} already; give another folder")
    base = settings.base or SHIPPED
    if action == "run":
        write_from_run(settings.path("run", "give a run"), settings.checkpoint, settings.version, output)
    elif action == "rebase":
        recordings = list_audio(settings.path("recordings", "give a folder of speech"))
        old = settings.path("rebase", "give the weights that the base reads")
        rebase(old, settings.content, recordings, base=base, version=settings.version, output=output)
    else:
        dataset = settings.path("dataset", "give the dataset that the base was trained on")
        lost = narrow_base(base, dataset, settings.narrow or 0, version=settings.version, output=output)
        emit(f"{100 * lost:.1f} % of what the blocks add is lost; train on with pretrained.speakers=all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    folder = Path(__file__).parent
    return run_recipe(BaseVoiceSettings, make, folder=folder, paths=PATHS, description=__doc__, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
