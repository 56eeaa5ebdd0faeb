"""Held-out samples from a dataloader of their own."""
import copy
from collections.abc import Iterator
from typing import Any

from mmengine.runner import Runner

from .random_streams import random_streams


class HeldOutLoader:
    """Batches without end from a dataloader, epoch after epoch.

    Args:
        dataloader: Dataloader config of MMEngine.
        seed: Seeds its sampler and workers.

    Raises:
        ValueError: A dataloader without a batch.
    """

    def __init__(self, dataloader: dict[str, Any], seed: int) -> None:
        self.loader = Runner.build_dataloader(
            copy.deepcopy(dataloader), seed=seed)
        if len(self.loader) == 0:
            raise ValueError(
                'it is a dataloader without a batch: its dataset has '
                f'{len(self.loader.dataset)} samples.')
        self.epoch = 0
        self.position = 0
        self._iterator: Iterator[Any] | None = None

    def next(self, seed: int) -> Any:
        """The next batch; leaves no trace on this process's random streams.

        Args:
            seed: Of the transforms, where no workers run them.
        """
        # Beyond the end after a resume with fewer batches than there were.
        if self.position >= len(self.loader):
            self.epoch += 1
            self.position = 0
            self._iterator = None
        iterator = self._iterator
        if iterator is None:
            with random_streams(seed):
                iterator = self._iterator = self._start_epoch()
                for _ in range(self.position):  # resumed inside an epoch
                    next(iterator)
        self.position += 1
        with random_streams(seed):
            return next(iterator)

    def _start_epoch(self) -> Iterator[Any]:
        sampler: Any
        for sampler in (self.loader.sampler,
                        getattr(self.loader.batch_sampler, 'sampler', None)):
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(self.epoch)
        return iter(self.loader)

    def state_dict(self) -> dict[str, int]:
        """Where it stands."""
        return dict(epoch=self.epoch, position=self.position)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where another loader of the same config stood."""
        self.epoch = state['epoch']
        self.position = state['position']
        self._iterator = None
