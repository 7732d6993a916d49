"""The whole dataset in the memory of the device that trains: batches are gathered there, nothing is loaded."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from utils.audio.batch import VoiceBatch
from utils.audio.loudness import FLOOR_DB
from utils.corpus.dataset import VoiceConversionDataset
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.memory import available_bytes

LARGEST_SHARE = 0.8  # of the free memory: networks and activations need the rest
BLOCK_ROWS = 1 << 16


class CachedSegments(Dataset[VoiceBatch]):
    """The batches that the loader of a dataset would give, to the last bit, made on the device.

    Args:
        examples: the segments.
        device: where the arrays lie.
    Raises:
        ConfigError: if the arrays do not fit into the device's free memory, or voices are to be changed, which the
            loading processes do.
    """

    def __init__(self, examples: VoiceConversionDataset, device: torch.device) -> None:
        require_cacheable(examples)
        self.examples = examples
        self.device = device
        store = examples.store
        names = ["waveform", "f0_hz", "loudness_db", *_content_names(examples)]
        _require_room(sum(store.arrays.num_bytes(name) for name in names), device)
        self._arrays = {name: _copy(store, name, device) for name in names}
        hop = store.audio.hop_length
        self._arrays["waveform"] = self._arrays["waveform"].view(-1, hop)
        self._offsets = [clip.frame_offset for clip in examples.clips]
        self._speakers = [store.speaker_id(clip) for clip in examples.clips]
        # a tensor, not a number: CUDA multiplies by the rounded reciprocal of a number, the loader divides
        self._full_scale = torch.full((), 32767.0, device=device)

    def loader(self, batches: Iterable[list[int]]) -> DataLoader[VoiceBatch]:
        """Return a loader of the batches whose segments are given."""
        return DataLoader(self, batch_sampler=batches, num_workers=0, collate_fn=_same)  # type: ignore[arg-type]

    def __len__(self) -> int:
        """Return the number of segments in an epoch."""
        return len(self.examples)

    def __getitem__(self, number: int) -> VoiceBatch:
        """Return one segment as a batch."""
        return self.__getitems__([number])

    def __getitems__(self, numbers: Sequence[int]) -> VoiceBatch:
        """Return the batch of some segments (DataLoader asks for a whole batch where this method is)."""
        segments = [self.examples.plan.segment(number) for number in numbers]
        place = torch.arange(max(segment.padded_frames for segment in segments), device=self.device)
        counts = self._integers([segment.frames for segment in segments])
        firsts = self._integers([self._offsets[segment.clip] + segment.first for segment in segments])
        inside = place < counts[:, None]
        # padding reads the last frame and is overwritten
        rows = firsts[:, None] + torch.minimum(place, counts[:, None] - 1)

        def take(name: str, which: slice | Tensor = slice(None), floor: float = 0.0) -> Tensor:
            values = self._arrays[name][rows[which]].float()
            keep = inside[which].view(*inside[which].shape, *[1] * (values.dim() - 2))
            return torch.where(keep, values, floor)

        names = [self.examples.content_name(segment) for segment in segments]
        content = self._arrays["content"]
        mixed = torch.empty(*rows.shape, content.shape[1], device=self.device)
        for name in dict.fromkeys(names):
            which = self._integers([index for index, other in enumerate(names) if other == name])
            mixed[which] = take(name, which)
        return VoiceBatch(
            audio=(take("waveform") / self._full_scale).flatten(1),
            content=mixed,
            f0_hz=take("f0_hz"),
            loudness_db=take("loudness_db", floor=FLOOR_DB),
            speaker_id=self._integers([self._speakers[segment.clip] for segment in segments]),
            num_frames=counts,
            segment=self._integers(list(numbers)),
        )

    def _integers(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)


def require_cacheable(examples: VoiceConversionDataset) -> None:
    """Refuse settings whose segments the cache cannot make.

    Raises:
        ConfigError: if they change voices.
    """
    if examples.plan.augmentation.voice_share:
        raise ConfigError(
            "data.device_cache=true cannot change voices, which the loading processes do: set "
            "augmentation.voice_share=0 or data.device_cache=false"
        )


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return available_bytes()


def _content_names(examples: VoiceConversionDataset) -> list[str]:
    """Return the content arrays that segments can come from."""
    augmentation = examples.plan.augmentation
    shares = {
        "perturbed": examples.plan.perturbed_share,
        "noise": augmentation.noise_share,
        "room": augmentation.room_share,
    }
    copies = {kind: examples.store.num_copies(kind) if share else 0 for kind, share in shares.items()}
    return ["content", *(f"content_{kind}_{index}" for kind, count in copies.items() for index in range(count))]


def _require_room(needed: int, device: torch.device) -> None:
    free = free_memory(device)
    if needed > LARGEST_SHARE * free:
        raise ConfigError(
            f"data.device_cache=true needs {needed / 1e6:.1f} MB on {device}, where {free / 1e6:.1f} MB are free "
            f"(at most {LARGEST_SHARE:.0%} of that are taken); set data.device_cache=false"
        )


def _copy(store: CorpusStore, name: str, device: torch.device) -> Tensor:
    """Copy an array to the device block by block."""
    count = store.arrays.num_rows(name)
    block = BLOCK_ROWS * (store.audio.hop_length if name == "waveform" else 1)
    first = store.arrays.read(name, 0, min(block, count))
    result = torch.empty((count, *first.shape[1:]), dtype=torch.from_numpy(first).dtype, device=device)
    for start in range(0, count, block):
        part: np.ndarray = store.arrays.read(name, start, min(start + block, count))
        result[start : start + len(part)] = torch.from_numpy(part)
    return result


def _same(batch: VoiceBatch) -> VoiceBatch:
    return batch
