"""Measure what a simulated step does, over a range of inner learning rates.

Trains a config that has UpstreamDownstreamHook. In some iterations, before
the upstream step, it simulates steps of several sizes on the same halves of
the batch with the same noise and prints means over each epoch:

- d_tr, d_val: change of the loss by the step, on the half that it was
  computed on and on the held-out half, in percent;
- second: size of the hyper-gradient's term through the simulated step,
  relative to the whole;
- and, once per epoch, the step that the main optimizer took, as the learning
  rate of plain gradient descent whose step is as long.
"""
import argparse
import sys
from collections import defaultdict
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dsts_mmaction.dsts.hyper_gradient import hyper_gradient  # noqa: E402
from dsts_mmaction.engine import UpstreamDownstreamHook  # noqa: E402
from dsts_mmaction.udl.random_streams import random_streams  # noqa: E402
from dsts_mmaction.udl.samples import Samples, half  # noqa: E402
from dsts_mmaction.udl.steps import UpstreamLearner  # noqa: E402


def norm(tensors: list[Tensor]) -> float:
    return torch.stack([t.norm() for t in tensors]).norm().item()


def probe(learner: UpstreamLearner, samples: Samples, inner_lr: float,
          seed: int) -> dict[str, float]:
    """What a simulated step of one size does."""
    parts = samples.split(half(len(samples.data_samples)))
    downstream = list(learner.downstream.values())

    def losses(parameters: dict[str, Tensor]) -> list[Tensor]:
        with random_streams(seed):
            return [learner.loss({**learner.upstream, **parameters}, part)
                    for part in parts]

    before = losses(learner.downstream)
    gradients = torch.autograd.grad(before[0], downstream)
    with torch.no_grad():
        after = losses({
            name: d - inner_lr * g for (name, d), g in zip(
                learner.downstream.items(), gradients)
        })
    orders = []
    for order in (1, 2):
        with random_streams(seed):
            orders.append(
                hyper_gradient(learner.loss, learner.upstream,
                               learner.downstream, *parts, inner_lr,
                               order).gradients)
    second = [b - a for a, b in zip(*orders)]
    change = [100 * (a - b).item() / b.item() for a, b in zip(after, before)]
    return dict(d_tr=change[0], d_val=change[1],
                second=norm(second) / norm(orders[1]),
                gradient=norm(gradients))


class Study(Hook):
    """Probes beside UpstreamDownstreamHook."""
    priority = 'LOWEST'

    def __init__(self, inner_lrs: list[float], interval: int) -> None:
        self.inner_lrs = inner_lrs
        self.interval = interval
        self.found = defaultdict(list)

    def before_train(self, runner: Runner) -> None:
        hook = next(h for h in runner.hooks
                    if isinstance(h, UpstreamDownstreamHook))
        self.parameters = list(hook.learner.downstream.values())

        def probe_all(samples: Samples) -> None:
            if runner.iter % self.interval == 0:
                for lr in self.inner_lrs:
                    self.found[lr].append(
                        probe(hook.learner, samples.detach(), lr,
                              runner.iter))

        hook.before_steps.append(probe_all)

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        if runner.iter % self.interval == 0:
            self.before = [p.detach().clone() for p in self.parameters]

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        if runner.iter % self.interval == 0:
            moved = norm([p.detach() - b
                          for p, b in zip(self.parameters, self.before)])
            gradient = self.found[self.inner_lrs[0]][-1]['gradient']
            self.found['step'].append(moved / gradient)

    def after_train_epoch(self, runner: Runner) -> None:
        steps = sorted(self.found.pop('step'))
        median = steps[len(steps) // 2]
        table = Table(title=f'epoch {runner.epoch + 1}: main optimizer steps '
                      f'as far as plain descent at {median:.3g} (median)')
        for title in ('inner_lr', 'd_tr %', 'd_val %', 'second'):
            table.add_column(title)
        for lr in self.inner_lrs:
            rows = self.found.pop(lr)
            table.add_row(f'{lr:g}', *(
                f'{sum(row[key] for row in rows) / len(rows):.3g}'
                for key in ('d_tr', 'd_val', 'second')))
        Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--work-dir', default='work_dirs/study_inner_lr')
    parser.add_argument('--inner-lrs', type=float, nargs='+',
                        default=[1e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.3, 1.0])
    parser.add_argument('--interval', type=int, default=10)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    args = parser.parse_args()
    config = Config.fromfile(args.config)
    if args.cfg_options:
        config.merge_from_dict(args.cfg_options)
    config.work_dir = args.work_dir
    runner = Runner.from_cfg(config)
    runner.register_hook(Study(args.inner_lrs, args.interval))
    runner.train()


if __name__ == '__main__':
    main()
