"""The comparison with features of another program: equal ones pass, a frame too late does not."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from benchmarks.content_reference import main
from tests.tools.hubert_tools import write_hubert
from utils.audio.synthetic_speech import voice
from utils.features.content.hubert import HubertContent, open_content


@pytest.mark.parametrize(
    ("late", "code", "words"), [(0, 0, "relative error"), (1, 1, "relative error"), (-1, 1, "inf")]
)
def test_features_of_the_same_weights_are_recognised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], late: int, code: int, words: str
) -> None:
    folder = write_hubert(tmp_path / "hubert", is_calm=True)
    hubert = open_content(path=str(folder), layer=3, name="contentvec")
    assert isinstance(hubert, HubertContent)
    soundfile.write(tmp_path / "reference.wav", voice(1.0), 16000, subtype="FLOAT")
    audio = torch.from_numpy(voice(1.0))[None]
    with torch.no_grad():
        features = hubert.network(torch.nn.functional.pad(audio, (40, 40), mode="reflect"))[0].numpy()
    recorded = np.roll(features, 1, axis=0) if late == 1 else features[:-1] if late == -1 else features
    np.save(tmp_path / "feats.npy", recorded)

    files = [str(tmp_path / "reference.wav"), str(tmp_path / "feats.npy")]
    found = main([*files, "content=contentvec", f"content.path={folder}", "content.layer=3"])

    assert found == code
    assert words in capsys.readouterr().out


def test_a_file_that_is_not_one_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_hubert(tmp_path / "hubert")
    (tmp_path / "text").write_text("no sound")

    code = main([str(tmp_path / "text"), str(tmp_path / "text"), f"content.path={folder}", "content=contentvec",
                 "content.layer=3"])  # fmt: skip

    assert code == 2 and "cannot be read" in capsys.readouterr().err
