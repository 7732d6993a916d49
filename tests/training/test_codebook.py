"""The codebook of a run is the one of its checkpoint and whole, or one line says what is wrong with it."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.tools.training_tools import make_dataset
from utils.corpus.store import CorpusStore
from utils.errors import DataError, FormatError
from utils.features.content.base import normalize_content
from utils.training.codebook import (
    CODEBOOK_FILE,
    CodebookRecord,
    build_codebooks,
    codebook_origin,
    codebook_record,
    read_codebook,
    read_stored,
    require_sizes,
    save_codebook,
)


def codebook(seed: int = 0, *shape: int) -> Tensor:
    values = torch.randn(*(shape or (2, 16, 8)), generator=torch.Generator().manual_seed(seed))
    return normalize_content(values).half().float()


def refusal(run: Path, expected: CodebookRecord | None = None) -> str:
    with pytest.raises(FormatError) as caught:
        read_codebook(run, expected, "best.ckpt")
    assert "\n" not in str(caught.value) and CODEBOOK_FILE in str(caught.value)
    return str(caught.value)


def test_it_reads_back_with_what_it_is_made_of(tmp_path: Path) -> None:
    record = save_codebook(tmp_path, codebook(), "of these clips")

    stored = read_stored(tmp_path)

    assert stored is not None and torch.equal(stored.codebook, codebook())
    assert stored.record == record == codebook_record(tmp_path) and codebook_origin(tmp_path) == "of these clips"
    assert CodebookRecord.from_plain(record.to_plain(), "x") == record
    assert read_codebook(tmp_path, record) is not None


def test_no_changed_byte_is_accepted(tmp_path: Path) -> None:
    save_codebook(tmp_path, codebook(), "0" * 64)
    path = tmp_path / CODEBOOK_FILE
    whole, chosen = path.read_bytes(), random.Random(0)
    header = 8 + int.from_bytes(whole[:8], "little")

    for place in [*range(header), *(chosen.randrange(header, len(whole)) for _ in range(50))]:
        data = bytearray(whole)
        data[place] ^= chosen.randrange(1, 256)
        path.write_bytes(data)
        refusal(tmp_path)


@pytest.mark.parametrize(
    "tensors",
    [
        {"codebook": torch.zeros(3, 64, 256)},
        {"codebook": torch.zeros(1, 0, 256)},
        {"codebook": torch.full((1, 64, 256), float("nan"))},
        {"codebook": torch.randn(1, 64, 100)},
        {"codebook": codebook().double()},
        {"codebook": codebook()[0]},
        {"codebook": codebook() * 2},
        {"codebook": codebook(), "more": torch.zeros(1)},
        {"other": codebook()},
        {},
    ],
)
def test_what_is_no_codebook_is_refused_without_checksum_too(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, tmp_path / CODEBOOK_FILE)

    assert "damaged" in refusal(tmp_path)


def test_one_without_checksum_is_accepted_as_earlier_versions_wrote_it(tmp_path: Path) -> None:
    for metadata in (None, {"origin": "x"}):
        save_file({"codebook": codebook()}, tmp_path / CODEBOOK_FILE, metadata=metadata)

        read = read_codebook(tmp_path)

        assert read is not None and torch.equal(read.codebook, codebook())


def test_another_runs_codebook_is_refused(tmp_path: Path) -> None:
    save_codebook(tmp_path, codebook(1))

    message = refusal(tmp_path, CodebookRecord.of(codebook(0)))

    assert "is not the one of best.ckpt" in message and "resume=last makes it anew" in message


def test_one_that_took_the_place_of_the_expected_one_is_accepted(tmp_path: Path) -> None:
    first = save_codebook(tmp_path, codebook(0))
    second = save_codebook(tmp_path, codebook(1))
    save_codebook(tmp_path, codebook(2), replaces=["f" * 64])

    for expected in (first, second, CodebookRecord("f" * 64, (1, 1, 1))):
        assert read_codebook(tmp_path, expected) is not None
    assert "is not the one" in refusal(tmp_path, CodebookRecord.of(codebook(3)))


@pytest.mark.parametrize(("speakers", "dim", "most"), [(3, 8, None), (2, 9, None), (2, 8, 15)])
def test_sizes_that_do_not_fit_are_named(tmp_path: Path, speakers: int, dim: int, most: int | None) -> None:
    require_sizes(codebook(), tmp_path, "best.ckpt", num_speakers=2, dim=8, most=16)

    with pytest.raises(FormatError, match=r"has 16 entries of 8 values for each of 2 speaker\(s\)"):
        require_sizes(codebook(), tmp_path, "best.ckpt", num_speakers=speakers, dim=dim, most=most)


def test_a_speaker_without_clips_to_train_on_is_named(tmp_path: Path) -> None:
    store = CorpusStore.open(make_dataset(tmp_path) / "tiny")
    store.clips = [replace(clip, split="val") if clip.speaker == "bert" else clip for clip in store.clips]

    with pytest.raises(DataError, match=r"all recordings of 'bert' are held out"):
        build_codebooks(store, 8, seed=0)
