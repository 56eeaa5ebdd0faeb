"""What runs from the features at the DSTS module to the recognizer's losses.

The parameters before the DSTS module are constants of the simulated step, so
its features are computed once, and what comes after it, the tail, runs again
on parts of them. The one place that knows where features can be taken.
"""
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from mmengine.model import merge_dict
from torch import Tensor, nn
from torch.func import functional_call

from ..adapters import DSTSHead, DSTSNeck
from ..adapters.omni import loss_arguments
from ..adapters.specialized import dsts_modules
from .samples import Samples

Losses = dict[str, Tensor]


class Tail(nn.Module, ABC):
    """Losses as a function of samples whose features are known."""

    #: Whether the features can be taken from the ordinary training step
    #: (:class:`AdapterTail`).
    shares = True

    @abstractmethod
    def forward(self, samples: Samples) -> Losses:
        """The recognizer's losses on the samples."""

    @abstractmethod
    def capture(self, recognizer: nn.Module, data: dict[str, Any]) -> Samples:
        """Compute the features of a batch without a trace on the model.

        One forward of the whole batch, with cloned buffers and no gradients.
        The caller takes care of random streams.

        Args:
            recognizer: The recognizer, not wrapped.
            data: A preprocessed batch.
        """


class AdapterTail(Tail):
    """The tail from an adapter (DSTSHead, DSTSNeck) on."""

    adapter: Any

    @contextmanager
    def listening(self, listener: Callable[[Samples], None]
                  ) -> Iterator[None]:
        """Call the listener, and no other, for features at the adapter."""
        before = self.adapter.feature_listener
        self.adapter.feature_listener = (
            lambda *reached: listener(Samples(*reached)))
        try:
            yield
        finally:
            self.adapter.feature_listener = before

    def capture(self, recognizer: nn.Module, data: dict[str, Any]) -> Samples:
        """See :class:`Tail`."""
        reached: list[Samples] = []
        with self.listening(reached.append):
            _forward(recognizer, data)
        if not reached:
            raise RuntimeError(
                f'{type(recognizer).__name__} computed its losses without '
                f'{type(self.adapter).__name__}.')
        return reached[0]  # of the first source, if there are several


class HeadTail(AdapterTail):
    """From a :class:`DSTSHead` on."""

    def __init__(self, head: DSTSHead) -> None:
        super().__init__()
        self.adapter = head

    def forward(self, samples: Samples) -> Losses:
        """See :class:`Tail`."""
        return self.adapter.loss_from_features(
            samples.features, samples.data_samples, **samples.options)


class NeckTail(AdapterTail):
    """From a :class:`DSTSNeck` on, as Recognizer3D goes on."""

    def __init__(self, neck: DSTSNeck, head: Any) -> None:
        super().__init__()
        self.adapter = neck
        self.head: Any = head

    def forward(self, samples: Samples) -> Losses:
        """See :class:`Tail`."""
        features, losses = self.adapter.specialize(samples.features)
        return merge_dict(
            self.head.loss(
                features, samples.data_samples, loss_aux=losses), losses)


class RecognizerTail(Tail):
    """The whole recognizer, for DSTS modules anywhere inside it.

    It recomputes what comes before the DSTS modules and does not use it:
    every input that no DSTS module had a part in is replaced by that of the
    whole batch. Its samples' features are the recognizer's inputs followed
    by the input of each DSTS module.
    """

    shares = False

    def __init__(self, recognizer: nn.Module) -> None:
        super().__init__()
        self.recognizer: Any = recognizer

    def forward(self, samples: Samples) -> Losses:
        """See :class:`Tail`."""
        inputs, *known = samples.features

        def replace(features: Tensor, module: nn.Module,
                    args: tuple) -> tuple:
            # The loss gets every other parameter as a constant.
            if args[0].requires_grad:
                return args
            return (features, *args[1:])

        with ExitStack() as handles:
            for module, features in zip(dsts_modules(self.recognizer), known):
                handles.enter_context(
                    module.register_forward_pre_hook(
                        partial(replace, features)))
            return self.recognizer(inputs, samples.data_samples, mode='loss')

    def capture(self, recognizer: nn.Module, data: dict[str, Any]) -> Samples:
        """See :class:`Tail`."""
        reached: dict[nn.Module, Tensor] = {}

        def keep(module: nn.Module, args: tuple) -> None:
            reached[module] = args[0]

        modules = list(dsts_modules(recognizer))
        with ExitStack() as handles:
            for module in modules:
                handles.enter_context(module.register_forward_pre_hook(keep))
            _forward(recognizer, data)
        features = (data['inputs'], *(reached[m] for m in modules))
        return Samples(features, data['data_samples'], {})


def _forward(recognizer: nn.Module, data: dict[str, Any]) -> None:
    buffers = {n: b.clone() for n, b in recognizer.named_buffers()}
    try:
        with torch.no_grad():
            functional_call(recognizer, buffers,
                            *loss_arguments(recognizer, data))
    finally:
        # Before torch 2.10 or so, an autocast around this keeps casts that
        # were made without a graph: the simulated gradient of a classifier
        # that ran here would be zero.
        torch.clear_autocast_cache()


def make_tail(recognizer: nn.Module) -> Tail:
    """The shortest tail that holds every DSTS module of a recognizer."""
    neck = getattr(recognizer, 'neck', None)
    head = getattr(recognizer, 'cls_head', None)
    candidates: Sequence[Tail] = [
        *([HeadTail(head)] if isinstance(head, DSTSHead)
          and head.layer is None else []),
        *([NeckTail(neck, head)] if isinstance(neck, DSTSNeck) else []),
    ]
    modules = set(dsts_modules(recognizer))
    for tail in candidates:
        if modules <= set(dsts_modules(tail)):
            return tail
    return RecognizerTail(recognizer)
