"""The speed benchmark of RVC says what it lacks."""

from pathlib import Path

import pytest

from benchmarks.rvc_speed import PUBLIC_FILES, main, public_folder
from utils.errors import ConfigError


def test_speed_benchmark_names_what_a_wrong_folder_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--public", str(tmp_path)]) == 2
    assert PUBLIC_FILES[0] in capsys.readouterr().err

    monkeypatch.delenv("RVC_PUBLIC", raising=False)
    assert public_folder(None) is None
    monkeypatch.setenv("RVC_PUBLIC", str(tmp_path))
    with pytest.raises(ConfigError, match="--public"):
        public_folder(None)
