"""Clips of a config's test set, and what recognizers make of them."""
import copy
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from torch import Tensor, nn

from ..dsts import DSTSModule
from .fused_module import DeployedDSTSModule

# Largest difference of a class score, over the largest score or 1.
TOLERANCE = 1e-5

Clip = dict[str, Any]


class Predictions(NamedTuple):
    """What a recognizer gives.

    Attributes:
        scores: Class scores as MMAction2 predicts them, shape
            (clips, classes), or (clips, views, classes) where views are not
            averaged.
        routing: Chosen neurons of every view, shape (clips * views, layers
            of all DSTS modules), int64.
    """
    scores: Tensor
    routing: Tensor


class Difference(NamedTuple):
    """How two predictions differ.

    Attributes:
        scores: Largest difference, over the largest score or 1.
        same: Choices of a neuron that are the same.
        choices: All choices.
    """
    scores: float
    same: int
    choices: int

    @property
    def is_small(self) -> bool:
        """Whether the predictions count as equal."""
        return self.scores <= TOLERANCE and self.same == self.choices

    def __str__(self) -> str:
        return (f'{self.scores:.1e}, same routing in '
                f'{self.same}/{self.choices}')


def read_clips(cfg: Config, count: int) -> list[Clip]:
    """First clips of the config's test set, as its dataloader gives them.

    Raises:
        ValueError: There are none, or they cannot be read.
    """
    loader = cfg.get('test_dataloader')
    if loader is None:
        raise ValueError('the config has no test_dataloader to read clips '
                         'from.')
    loader = copy.deepcopy(loader)
    loader.update(batch_size=1, num_workers=0, persistent_workers=False)
    loader.pop('prefetch_factor', None)
    # Batches of one sample, that pseudo_collate can put together again.
    loader['collate_fn'] = dict(type='pseudo_collate')
    try:
        batches = Runner.build_dataloader(loader, seed=0)
        clips = [{key: value[0] for key, value in batch.items()}
                 for batch in itertools.islice(batches, count)]
    except (ValueError, OSError) as error:  # so MMEngine says "empty list"
        raise ValueError('the data set of test_dataloader gives no clips: '
                         f'{error}') from error
    if not clips:
        raise ValueError('the data set of test_dataloader gives no clips.')
    return clips


def predict(model: nn.Module, clips: Sequence[Clip]) -> Predictions:
    """Predictions one clip at a time, by the recognizer's own test_step."""
    scores, routing = [], []
    with torch.no_grad(), RoutingListener(model) as listener:
        for clip in clips:
            sample, = model.test_step(pseudo_collate([copy.deepcopy(clip)]))
            scores.append(sample.pred_score)
            routing.append(listener.take())
    return Predictions(torch.stack(scores), torch.cat(routing))


def difference(a: Predictions, b: Predictions) -> Difference:
    """How predictions for the same clips differ; those of ``a`` are right."""
    scale = max(1.0, float(a.scores.abs().max()))
    return Difference(float((a.scores - b.scores).abs().max()) / scale,
                      int((a.routing == b.routing).sum()), a.routing.numel())


class RoutingListener:
    """Collects the routing of all DSTS modules of a model in a block."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = [m for m in model.modules()
                        if isinstance(m, (DSTSModule, DeployedDSTSModule))]
        self._calls: dict[int, list[Tensor]] = {}

    def __enter__(self) -> 'RoutingListener':
        self._hooks = [
            module.register_forward_hook(
                lambda module, args, output, i=i: self._calls.setdefault(
                    i, []).append(output.routing.transpose(0, 1)))
            for i, module in enumerate(self.modules)]
        return self

    def __exit__(self, *error: Any) -> None:
        for hook in self._hooks:
            hook.remove()

    def take(self) -> Tensor:
        """Routing since the last call, shape (views, layers)."""
        # Several calls of a module are parts of the views
        # (max_testing_views).
        parts = [torch.cat(self._calls[i]) for i in range(len(self.modules))]
        self._calls = {}
        return torch.cat(parts, 1) if parts else torch.zeros(
            1, 0, dtype=torch.int64)
