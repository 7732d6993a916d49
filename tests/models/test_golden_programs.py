"""The networks of Applio, So-VITS-SVC and VITS give the published numbers."""

from pathlib import Path

import pytest

from benchmarks.golden import TOLERANCE, check_file

SMALL = Path(__file__).resolve().parents[1] / "golden"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "golden"
SMALL_FILES = ("applio_mrf_32k", "applio_refinegan_32k", "sovits_4.0_vec256l9", "vits_vctk_voice_conversion")
SHARED_FILES = (
    "applio_discriminator_v3", "applio_mrf_48k", "applio_refinegan_48k", "sovits_4.1_discriminator",
    "sovits_4.1_vec768l12", "sovits_4.1_vec768l12_shared_flow", "sovits_4.1_vec768l12_snake",
    "sovits_4.1_vec768l12_vol", "sovits_features", "vits_vctk_voice_conversion",
)  # fmt: skip


def wrong_arrays(path: Path) -> list[str]:
    checked = check_file(path)
    assert checked.errors and not checked.missing
    return [name for name, error in checked.errors if not error <= TOLERANCE]


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL_FILES)
def test_networks_give_the_published_numbers(name: str) -> None:
    assert wrong_arrays(SMALL / f"{name}.npz") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED_FILES)
def test_other_variants_give_the_published_numbers(name: str) -> None:
    path = SHARED / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"the recorded numbers are not here: {path.name} in ../shared/golden")

    assert wrong_arrays(path) == []
