"""Code that is planted into a pickle runs where it is trusted, and never here."""

from pathlib import Path

import pytest

from benchmarks import planted_pickles
from benchmarks.planted_pickles import CALLS, KINDS, Kind, counts


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_planted_code_is_run(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted_pickles, "CALLS", {name: CALLS[name] for name in ("builtins.eval", "numpy.save")})

    found = counts(kind, tmp_path)

    assert found == {"planted": 16, "ran when trusted": 16, "ran here": 0, "refused": 16}
