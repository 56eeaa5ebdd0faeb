"""The samples that Upstream-Downstream Learning divides between its steps."""
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from ..adapters.layouts import Features, map_features


class Samples(NamedTuple):
    """What reaches the DSTS module, with what the loss needs besides.

    Attributes:
        features: Tensors whose first axis holds the samples one after the
            other, each with as many rows (frames, views) as the others.
        data_samples: One per sample, with its label.
        options: Further arguments of the head's loss.
    """
    features: Features
    data_samples: Sequence[Any]
    options: dict[str, Any]

    def detach(self) -> 'Samples':
        """The same samples, with features that are constants."""
        return self._replace(features=map_features(Tensor.detach,
                                                   self.features))

    def split(self, count: int) -> tuple['Samples', 'Samples']:
        """The first ``count`` samples and the others.

        Raises:
            ValueError: Features that are not made of whole samples.
        """
        total = len(self.data_samples)
        return (self._part(slice(0, count)), self._part(slice(count, total)))

    def _part(self, part: slice) -> 'Samples':
        return self._replace(
            features=map_features(partial(self._rows, part=part),
                                  self.features),
            data_samples=self.data_samples[part])

    def _rows(self, features: Tensor, part: slice) -> Tensor:
        total = len(self.data_samples)
        if len(features) % total:
            raise ValueError(
                f'A batch of {total} samples has features of shape '
                f'{tuple(features.shape)}, which cannot be halved by sample: '
                "set held_out of UpstreamDownstreamHook to a dataloader "
                'config.')
        rows = len(features) // total
        return features[part.start * rows:part.stop * rows]


def half(num_samples: int, num_repeats: int = 1) -> int:
    """How many samples of a batch the simulated step gets.

    Half of the videos, rounded down; the repeats of a video, which follow
    each other, stay together.

    Args:
        num_samples: Samples of the batch.
        num_repeats: Samples per video (RepeatAugDataset's ``num_repeats``).
    """
    return num_samples // num_repeats // 2 * num_repeats
