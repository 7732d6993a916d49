"""Batches of segments of similar length: their order, as a function of the seed and the number."""

from collections.abc import Callable

import numpy as np

POOL_UPDATES = 64
TAG = 0xB0C


class LengthBuckets:
    """A rearrangement of planned segments by which those of one update have similar lengths.

    The segments of 64 updates are sorted by length and cut into batches, which come in random order. So every segment
    still comes once, none is left out for its length, and the order follows from seed, update and batch size alone,
    whatever the number of devices and micro-batches.

    Args:
        lengths: from numbers of planned segments [N] to their lengths [N].
        batch_size: segments of one update, over all devices.
        seed: of the order.
    """

    def __init__(self, lengths: Callable[[np.ndarray], np.ndarray], *, batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self._pool: tuple[int, np.ndarray, np.ndarray] | None = None

    def planned(self, number: int) -> int:
        """Return which planned segment comes at a position of the training."""
        update, position = divmod(number, self.batch_size)
        return int(self.planned_of_update(update)[position])

    def longest(self, number: int) -> int:
        """Return the length of the longest segment of the update to which a position of the training belongs."""
        pool, row = divmod(number // self.batch_size, POOL_UPDATES)
        return int(self._table(pool)[1][row])

    def planned_of_update(self, update: int) -> np.ndarray:
        """Return the planned segments of an update, [batch_size]."""
        pool, row = divmod(update, POOL_UPDATES)
        return self._table(pool)[0][row]

    def _table(self, pool: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the planned segments [updates, batch] of a pool and the longest length of each update."""
        if self._pool is None or self._pool[0] != pool:
            size = POOL_UPDATES * self.batch_size
            planned = np.arange(pool * size, (pool + 1) * size, dtype=np.int64)
            lengths = self._lengths(planned)
            order = np.argsort(lengths, kind="stable").reshape(POOL_UPDATES, self.batch_size)
            rng = np.random.default_rng([self.seed, TAG, pool])
            order = rng.permuted(rng.permutation(order), axis=1)
            self._pool = (pool, planned[order], lengths[order].max(axis=1))
        return self._pool[1], self._pool[2]
