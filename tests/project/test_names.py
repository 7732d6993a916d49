"""Names that the architecture document promises to programs, and the doors of each room, work as written there."""

import subprocess
import sys

import pytest


def test_promised_names_can_be_imported() -> None:
    from models import BaseVoiceConversionModel
    from models.rvc import RVCModel
    from utils.dataset import VoiceConversionDataset

    assert issubclass(RVCModel, BaseVoiceConversionModel)
    assert VoiceConversionDataset.__name__ == "VoiceConversionDataset"


@pytest.mark.parametrize("room", ["utils.corpus", "utils.training"])
def test_doors_need_no_torch_until_they_are_used(room: str) -> None:
    """A script shows its help without waiting for torch."""
    program = f"import sys; import {room}; print('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
