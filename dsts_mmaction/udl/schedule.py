"""The learning rate of the upstream parameters."""
from typing import Any

from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner
from torch.optim import Optimizer

from ..optim.groups import schedule_factor
from .building import build
from .options import UDLOptions


class UpstreamSchedule:
    """Follows the main learning rate, or schedulers of its own.

    Args:
        options: Of the hook.
        optimizer: Of the upstream parameters.
        runner: Whose training it is.
    """

    def __init__(self, options: UDLOptions, optimizer: Optimizer,
                 runner: Runner) -> None:
        self.configured = options.optimizer['lr']
        self.optimizer = optimizer
        self.follows = options.param_scheduler is None
        self.schedulers = [self._build(config, runner)
                           for config in options.schedulers]

    def _build(self, config: dict[str, Any], runner: Runner) -> Any:
        by_epoch = config.get('by_epoch', True)
        end = runner.max_epochs if by_epoch else runner.max_iters
        return build(
            'param_scheduler', PARAM_SCHEDULERS.build,
            {'end': end, **config},
            default_args=dict(optimizer=self.optimizer,
                              epoch_length=len(runner.train_dataloader)))

    def follow(self, main: Optimizer) -> None:
        """Take over where the main optimizer's schedule stands."""
        if self.follows:
            for group in self.optimizer.param_groups:
                group['lr'] = self.configured * schedule_factor(main)

    def step(self, by_epoch: bool) -> None:
        """Step the schedulers that go by epoch, or those by iteration."""
        for scheduler in self.schedulers:
            if scheduler.by_epoch == by_epoch:
                scheduler.step()
