"""Names that the architecture document promises to programs, and the doors of each room, work as written there."""

import subprocess
import sys

import pytest


def test_promised_names_can_be_imported() -> None:
    from models import BaseVoiceConversionModel
    from models.rvc import RVCModel
    from utils.audio import augment_audio, extract_f0, extract_mel_spectrogram, load_audio
    from utils.dataset import VoiceConversionDataset

    assert issubclass(RVCModel, BaseVoiceConversionModel)
    assert VoiceConversionDataset.__name__ == "VoiceConversionDataset"
    functions = (load_audio, extract_mel_spectrogram, extract_f0, augment_audio)
    names = ["load_audio", "extract_mel_spectrogram", "extract_f0", "augment_audio"]
    assert [function.__name__ for function in functions] == names


def test_room_of_audio_has_no_other_names_of_its_own() -> None:
    import utils.audio

    with pytest.raises(AttributeError, match="no attribute 'resample_audio'"):
        _ = utils.audio.resample_audio


def test_room_of_audio_needs_no_torch() -> None:
    program = "import sys; from utils.audio import load_audio; print('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("room", ["utils.corpus", "utils.training", "utils.export", "utils.inference"])
def test_doors_need_no_torch_until_they_are_used(room: str) -> None:
    """A script shows its help without waiting for torch."""
    program = f"import sys; import {room}; print('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
