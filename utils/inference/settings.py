"""The settings of test_model.py: what kind of value each has, and whether it is for a conversion or a verification."""

from collections.abc import Collection
from typing import Any

from utils.config.settings import Setting, check_kinds, refuse_idle

CONVERT, VERIFY = "onnx=", "verify="

SETTINGS = (
    Setting("onnx", "text", "exports/alice/<file>.onnx", is_optional=True),
    Setting("audio", "section", "audio=<recording or folder>"),
    Setting("audio.path", "text", "<recording or folder>", is_optional=True),
    Setting("output", "text", "converted", is_optional=True, read_by=(CONVERT,)),
    Setting("report", "text", "report.json", is_optional=True),
    Setting("threads", "whole numbers", "[1,2]", read_by=(CONVERT,)),
    Setting("pitch_shift", "text or number", "auto", is_optional=True, read_by=(CONVERT,)),
    Setting("speaker", "text or number", "alice", is_optional=True, read_by=(CONVERT,)),
    Setting("index_rate", "number", "0.5", is_optional=True, read_by=(CONVERT,)),
    Setting("protect", "number", "0.33", is_optional=True, read_by=(CONVERT,)),
    Setting("loudness_mix", "number", "1", is_optional=True, read_by=(CONVERT,)),
    Setting("verify", "text", "exports/alice/<file>.onnx", is_optional=True),
    Setting("verify_minutes", "number", "10", read_by=(VERIFY,)),
    Setting("verify_blocks", "whole number", "1000", read_by=(VERIFY,)),
)


def check_settings(plain: dict[str, Any], given: Collection[str] = ()) -> None:
    """Refuse values of a wrong kind, unknown keys, and typed keys that have no effect on what is asked for.

    Args:
        plain: the resolved configuration.
        given: keys that command line and environment set.
    Raises:
        ConfigError: in one line that names the key.
    """
    use = VERIFY if plain["verify"] is not None else CONVERT
    check_kinds(plain, SETTINGS, use)
    refuse_idle(given, SETTINGS, use)
