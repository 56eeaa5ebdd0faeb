"""Steps 1 and 2 of Upstream-Downstream Learning on a recognizer."""
import math
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.registry import OPTIMIZERS
from torch import Tensor, nn
from torch.func import functional_call

from ..adapters.specialized import dsts_modules, plain_head
from ..dsts.hyper_gradient import hyper_gradient
from .building import build
from .options import UDLOptions
from .samples import Samples
from .tails import Tail


class Evaluation(NamedTuple):
    """What a simulated step and the held-out samples after it give.

    Attributes:
        gradient: The hyper-gradient, of all upstream parameters one after
            the other, flat.
        loss: On the held-out samples after the simulated step, a scalar.
        routing: Selected neurons of either step, (num_layers, B), by DSTS
            module.
    """
    gradient: Tensor
    loss: Tensor
    routing: dict[nn.Module, list[Tensor]]


class UpstreamStep(NamedTuple):
    """What became of an upstream step.

    Attributes:
        grad_norm: L2 norm of the hyper-gradient, before clipping; None if
            there was none.
        skipped: Why the step was not taken: ``'non_finite'``,
            ``'too_few_samples'`` or None.
    """
    grad_norm: float | None
    skipped: str | None


class UpstreamLearner:
    """Learns the upstream parameters of a recognizer.

    Args:
        recognizer: The recognizer, not wrapped.
        tail: What runs from its DSTS modules on.
        options: Of the hook.

    Attributes:
        upstream: Upstream parameters that train, by their names in the tail.
        downstream: The parameters that a simulated step moves, likewise.
        others: All other parameters of the tail.
        optimizer: Of the upstream parameters.
    """

    def __init__(self, recognizer: nn.Module, tail: Tail,
                 options: UDLOptions) -> None:
        self.recognizer: Any = recognizer
        self.tail = tail
        self.options = options
        self.modules = list(dsts_modules(recognizer))
        self.upstream: dict[str, Tensor] = {}
        self.downstream: dict[str, Tensor] = {}
        self.others: dict[str, Tensor] = {}
        upstream = {id(p) for m in self.modules
                    for p in m.upstream_parameters()}
        downstream = {id(p) for m in self.modules
                      for p in m.downstream_parameters()}
        if options.simulate_classifier:
            downstream |= {id(p) for p in plain_head(recognizer).parameters()}
        for name, parameter in tail.named_parameters():
            kind = self.others
            if parameter.requires_grad and id(parameter) in upstream:
                kind = self.upstream
            elif parameter.requires_grad and id(parameter) in downstream:
                kind = self.downstream
            kind[name] = parameter
        self.optimizer = self._build_optimizer(options.optimizer)
        self._sum: Tensor | None = None
        self._count = 0

    def accumulate(self, simulated_on: Samples, held_out: Samples,
                   inner_lr: float, loss_scale: float) -> Evaluation:
        """Compute a hyper-gradient and keep it for :meth:`step`.

        Args:
            simulated_on: Samples of the simulated step.
            held_out: Samples of the upstream step.
            inner_lr: Learning rate of the simulated step.
            loss_scale: See :func:`hyper_gradient`.
        """
        routing: dict[nn.Module, list[Tensor]] = {}

        def record(module: nn.Module, args: tuple, output: Any) -> None:
            routing.setdefault(module, []).append(output.routing)

        with ExitStack() as handles:
            for module in self.modules:
                handles.enter_context(module.register_forward_hook(record))
            result = hyper_gradient(
                self.loss, self.upstream, self.downstream, simulated_on,
                held_out, inner_lr, self.options.order, loss_scale)
        gradient = torch.cat([g.reshape(-1) for g in result.gradients])
        self._sum = gradient if self._sum is None else self._sum + gradient
        self._count += 1
        return Evaluation(gradient, result.loss, routing)

    def step(self) -> UpstreamStep:
        """Step the upstream parameters on the mean of what was accumulated.

        The mean is over the hyper-gradients of all ranks, which come to the
        same decision. All ranks have to call this.
        """
        parameters = list(self.upstream.values())
        if self._sum is None:
            self._sum = torch.cat([
                torch.zeros_like(p).reshape(-1) for p in parameters])
        total = torch.cat([self._sum, self._sum.new_tensor([self._count])])
        self._sum, self._count = None, 0
        all_reduce(total, 'sum')
        if total[-1] == 0:
            return UpstreamStep(None, 'too_few_samples')
        gradient = total[:-1] / total[-1]
        norm = gradient.norm().item()
        if not math.isfinite(norm):
            return UpstreamStep(norm, 'non_finite')
        for parameter, part in zip(parameters, self.split(gradient)):
            parameter.grad = part
        self._clip(parameters)
        self.optimizer.step()
        self.forget_gradients()
        # Under autocast, casts of the parameters as they were may be cached.
        torch.clear_autocast_cache()
        return UpstreamStep(norm, None)

    def split(self, gradient: Tensor) -> list[Tensor]:
        """A flat hyper-gradient by upstream parameter."""
        parameters = list(self.upstream.values())
        parts = gradient.split([p.numel() for p in parameters])
        return [part.view_as(p) for part, p in zip(parts, parameters)]

    def forget_gradients(self) -> None:
        """Drop what a backward left in the upstream parameters' ``grad``."""
        for parameter in self.upstream.values():
            parameter.grad = None

    def loss(self, parameters: dict[str, Tensor],
             samples: Samples) -> Tensor:
        """Training loss on samples, a scalar; leaves no trace on the model.

        Args:
            parameters: Instead of the upstream and downstream ones, by name.
            samples: What the tail takes.
        """
        others = {name: p.detach() for name, p in self.others.items()}
        buffers = {name: b.clone() for name, b in self.tail.named_buffers()}
        losses = functional_call(self.tail, (others, parameters, buffers),
                                 (samples, ))
        return self.recognizer.parse_losses(losses)[0]

    def _build_optimizer(self,
                         config: dict[str, Any]) -> torch.optim.Optimizer:
        group: dict[str, Any] = dict(params=list(self.upstream.values()))
        if 'weight_decay' not in config:
            group['weight_decay'] = 0.0
        return build('optimizer', OPTIMIZERS.build,
                     dict(config, params=[group]))

    def _clip(self, parameters: list[Tensor]) -> None:
        options = dict(self.options.clip_grad or {})
        if not options:
            return
        if options.pop('type', 'norm') == 'value':
            torch.nn.utils.clip_grad_value_(parameters, **options)
        else:
            torch.nn.utils.clip_grad_norm_(parameters, **options)
