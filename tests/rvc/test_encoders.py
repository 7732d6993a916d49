"""Names of content encoders: one encoder has one name, whichever program wrote it."""

from pathlib import Path

import pytest

from utils.config.preprocess import preprocess_job
from utils.rvc.encoders import OPTIONS, content_overrides, encoder_name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("hubert_base", "contentvec"),
        ("ContentVec", "contentvec"),
        ("spin-v2", "spin-v2"),
        ("chinese_hubert_base", "chinese-hubert-base"),
        ("hubert-base-japanese", "japanese-hubert-base"),
        ("rvc/models/embedders/embedders_custom/My HuBERT", "My HuBERT"),
        ("C:\\Applio\\rvc\\models\\embedders\\korean_hubert_base\\", "korean-hubert-base"),
        ("mine", "mine"),
        ("/", "/"),
    ],
)
def test_an_encoder_has_one_name_here(written: str, name: str) -> None:
    assert encoder_name(written) == name


@pytest.mark.parametrize("name", OPTIONS)
def test_every_encoder_of_applio_has_an_option_that_gives_what_its_voices_hear(name: str, tmp_path: Path) -> None:
    option = content_overrides(name, "v2")

    node = preprocess_job([option, f"dataset.source={tmp_path}", "dataset.name=x"]).content

    assert option == f"content={OPTIONS[name]}"
    given = node.to_plain()
    assert (given["name"], given["layer"], given["is_projected"]) == (name, 12, False)


def test_an_encoder_without_an_option_is_opened_by_its_name() -> None:
    assert content_overrides("mine", "v2", 9) == "content=contentvec content.layer=9 content.name=mine"
    assert content_overrides("spin", "v1") == "content=contentvec_v1 content.name=spin"
    assert content_overrides("contentvec", "v2") == content_overrides(None, "v2") == "content=contentvec"
