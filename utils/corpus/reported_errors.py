"""Errors of loading processes that arrive in the training as they were raised.

PyTorch would raise them again with the traceback of the process as their message.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from utils.audio.batch import VoiceBatch
from utils.corpus.dataset import VoiceExample, collate
from utils.errors import WorkbenchError


class ReportingExamples(Dataset[VoiceExample | WorkbenchError]):
    """Examples, or the error in place of one that cannot be read.

    Args:
        examples: where they come from.
    """

    def __init__(self, examples: Dataset[VoiceExample]) -> None:
        self.examples = examples

    def __getitem__(self, index: int) -> VoiceExample | WorkbenchError:
        """Return example `index`."""
        try:
            return self.examples[index]
        except WorkbenchError as error:
            return error


def collate_or_report(items: Sequence[VoiceExample | WorkbenchError]) -> VoiceBatch | WorkbenchError:
    """Stack examples, or return the first error among them."""
    examples: list[VoiceExample] = []
    for item in items:
        if isinstance(item, WorkbenchError):
            return item
        examples.append(item)
    return collate(examples)


class ReportingLoader(DataLoader[VoiceBatch]):
    """A loader of ReportingExamples that raises their errors where its batches are used."""

    def __iter__(self) -> Any:
        """Return an iterator over the batches."""
        return _Batches(super().__iter__())


class _Batches(Iterator[VoiceBatch]):
    """Batches; everything else is that of PyTorch's iterator."""

    def __init__(self, iterator: Any) -> None:
        self.iterator = iterator

    def __next__(self) -> VoiceBatch:
        batch: VoiceBatch | WorkbenchError = next(self.iterator)
        if isinstance(batch, WorkbenchError):
            raise batch
        return batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self.iterator, name)
