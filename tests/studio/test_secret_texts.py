"""No password, token or key is shown."""

import time

import pytest

from studio.secret_texts import without_secrets
from utils.config.secret_keys import STARS, without_secret


@pytest.mark.parametrize(
    "text",
    [
        "token=abcdef123", "Authorization: Bearer abcdef123", '{"api_key": "abcdef123"}', "logger.password='abcdef123'",
        "HF_TOKEN=abcdef123 python", "http://user:abcdef123@host/x", "hf_abcdef123456", "?token=abcdef123&x=1",
        "basic abcdef123", "ghp_abcdef12345", "wandb_api-key: abcdef123",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_becomes_stars(text: str) -> None:
    shown = without_secrets(text, environment={})

    assert "abcdef" not in shown and STARS in shown


def test_known_values_and_those_of_telling_variables_become_stars() -> None:
    environment = {"MY_SECRET": "swordfish", "A_TOKEN": "x", "HOME": "/home/me"}

    shown = without_secrets("swordfish x /home/me open sesame", ["open sesame", ""], environment)

    assert shown == f"{STARS} x /home/me {STARS}"


@pytest.mark.parametrize(
    "text", ["step 120/292  mel 0.5439  2.45 steps/s  1:10 left", "dataset.name=alice run.name=tokyo", "3 keys: a, b"]
)
def test_other_text_stays(text: str) -> None:
    assert without_secrets(text, environment={}) == text


def test_a_long_line_takes_no_time() -> None:
    began = time.monotonic()

    without_secrets("a.b-" * 16_384, environment={})

    assert time.monotonic() - began < 5.0


def test_a_password_of_the_environment_is_told_as_stars() -> None:
    assert without_secret("password=swordfish") == "password=***"
    assert without_secret("logger.api_key=a=b") == "logger.api_key=***"
    assert without_secret("trainer.steps=5") == "trainer.steps=5"
