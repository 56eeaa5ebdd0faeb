"""What Upstream-Downstream Learning reports of each iteration."""
import logging
from typing import Any, NamedTuple

from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from .options import HOOK
from .samples import Samples
from .statistics import routing_statistics
from .steps import Evaluation, UpstreamStep


class UDLResult(NamedTuple):
    """What steps 1 and 2 of one iteration came to.

    Attributes:
        parts: Samples of the simulated step, and held-out ones.
        evaluation: None if the batch was too small to be halved.
        step: None while hyper-gradients are accumulated.
        inner_lr: Learning rate of the simulated step.
        loss_scale: What both losses were multiplied by.
        learning_rate: Of the upstream parameters.
    """
    parts: tuple[Samples, Samples]
    evaluation: Evaluation | None
    step: UpstreamStep | None
    inner_lr: float
    loss_scale: float
    learning_rate: float


def warn(message: str) -> None:
    """Print a warning in the name of the hook."""
    print_log(f'{HOOK}: {message}', logger='current', level=logging.WARNING)


class UDLLog:
    """Logs each iteration's result, and warns of skips and collapse.

    Args:
        runner: Whose message hub takes the values.
        recognizer: Its recognizer.
    """

    def __init__(self, runner: Runner, recognizer: nn.Module) -> None:
        self.runner = runner
        self.statistics = routing_statistics(recognizer)
        self.skipped = dict(non_finite=0, too_few_samples=0)
        self._names: set[str] = set()
        self._warned_epoch = -1

    def __call__(self, result: UDLResult) -> None:
        """Log a result."""
        if result.evaluation is not None:
            self._log(upstream_loss=result.evaluation.loss.item())
            self._log_routing(result.evaluation)
        step = result.step
        if step is None:
            return
        if step.skipped is not None:
            if self.skipped[step.skipped] == 0:
                warn('an upstream step was skipped '
                     f'({step.skipped.replace("_", " ")}); '
                     'train/upstream_skipped counts them.')
            self.skipped[step.skipped] += 1
        else:
            self._log(upstream_grad_norm=step.grad_norm)
        self._log(upstream_inner_lr=result.inner_lr,
                  upstream_lr=result.learning_rate,
                  upstream_skipped=sum(self.skipped.values()))

    def _log(self, **scalars: float | None) -> None:
        # Not into the checkpoint: a joint run that is resumed from it would
        # log the last values on and on.
        values = {f'train/{name}': value for name, value in scalars.items()}
        self._names.update(values)
        self.runner.message_hub.update_scalars(values, resumed=False)

    def _log_routing(self, evaluation: Evaluation) -> None:
        collapsed = []
        for module, statistics in self.statistics.items():
            for choices in evaluation.routing[module]:
                statistics.update(choices)
            self._log(**statistics.scalars())
            collapsed += statistics.collapsed()
        epoch = self.runner.iter // len(self.runner.train_dataloader)
        if collapsed and epoch != self._warned_epoch:
            self._warned_epoch = epoch
            # The epoch also tells it from the last one: MMEngine prints a
            # warning of the same words only once.
            warn(f'epoch {epoch + 1}: the neurons of {", ".join(collapsed)} '
                 'have collapsed, one gets nearly every sample. A larger '
                 'balance_loss_weight of dsts counters that.')

    def leave_out(self, message_hub: dict[str, Any]) -> None:
        """Take the names of logged values out of a saved message hub.

        Keys without a value would be warned of, one by one, on resume.
        """
        for name in self._names:
            message_hub.get('resumed_keys', {}).pop(name, None)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return dict(skipped=dict(self.skipped),
                    routing=[s.state_dict()
                             for s in self.statistics.values()])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.skipped.update(state['skipped'])
        for statistics, saved in zip(self.statistics.values(),
                                     state['routing']):
            statistics.load_state_dict(saved)
