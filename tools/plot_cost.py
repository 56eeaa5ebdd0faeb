"""How the cost of a DSTS module grows, as one picture.

    python tools/plot_cost.py --out docs/cost.png

One axis for each of: neurons, layers, batch, clip length, resolution. Each
value is timed in turn with the default setting; a point is the median ratio
of the two, its bar the quartiles.
"""
import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from rich.progress import track

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dsts_mmaction.models import DSTSModule  # noqa: E402
from dsts_mmaction.utils import Ratio, measure_ratio  # noqa: E402
from dsts_mmaction.utils.atomic import write_atomically  # noqa: E402
from dsts_mmaction.utils.malloc import (  # noqa: E402
    release_freed_memory,
    restart_keeping_freed_memory,
)
from tools.bench_evaluation import without_gradients  # noqa: E402
from tools.bench_iterations import as_if_trained  # noqa: E402


class Setting(NamedTuple):
    """A module with C = M = 256 and its input."""
    neurons: int = 10
    layers: int = 3
    batch: int = 8
    frames: int = 8
    size: int = 7


AXES: dict[str, list[int]] = dict(
    neurons=[1, 4, 10, 32, 64], layers=[1, 2, 3, 6], batch=[1, 2, 4, 8, 16],
    frames=[4, 8, 16, 32], size=[4, 7, 14])
LABELS = dict(neurons='neurons N', layers='layers L', batch='batch B',
              frames='frames T of the features',
              size='height = width of the features')


def calls(setting: Setting) -> dict[str, Callable[[], None]]:
    """Forward and backward in training, and a forward in evaluation."""
    torch.manual_seed(0)
    shape = (setting.batch, 256, setting.frames, setting.size, setting.size)
    x = torch.randn(shape)
    modules = [as_if_trained(DSTSModule(
        256, setting.neurons, setting.layers, mid_channels=256),
        torch.randn(8, *shape[1:])) for _ in range(2)]
    trained, evaluated = modules[0].train(), modules[1].eval()
    target = torch.randn(shape)

    def training() -> None:
        trained.zero_grad()
        output = trained(x.requires_grad_())
        ((output.features * target).mean()
         + sum(output.losses.values())).backward()

    return dict(training=training,
                evaluation=without_gradients(evaluated, torch.randn(shape)))


def measure(axis: str, value: int, rounds: int) -> dict[str, Ratio]:
    """The cost of one setting over that of the default one."""
    default, setting = calls(Setting()), calls(Setting(**{axis: value}))
    return {name: measure_ratio(setting[name], default[name], rounds)
            for name in default}


def draw(results: dict[str, dict[int, dict[str, Ratio]]]) -> Figure:
    """One panel for each axis."""
    figure = Figure(figsize=(3 * len(results), 3), layout='constrained')
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for panel, (axis, values) in zip(panels, results.items()):
        for name in ('training', 'evaluation'):
            ratios = [ratios[name] for ratios in values.values()]
            panel.errorbar(
                list(values), [ratio.value for ratio in ratios],
                [[ratio.value - ratio.spread[0] for ratio in ratios],
                 [ratio.spread[1] - ratio.value for ratio in ratios]],
                marker='o', capsize=2, label=name)
        default = getattr(Setting(), axis)
        panel.axvline(default, color='0.8', zorder=0)
        panel.set(xlabel=LABELS[axis], ylim=(0, None))
    panels[0].set_ylabel(
        'time, default setting = 1 '
        f'({torch.get_num_threads()} threads)')
    panels[0].legend()
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Draw how the cost of a DSTS module grows.')
    parser.add_argument('--out', type=Path, required=True,
                        help='picture to write, .png')
    parser.add_argument('--axes', nargs='+', choices=list(AXES),
                        default=list(AXES))
    parser.add_argument('--rounds', type=int, default=9,
                        help='measured rounds of each point')
    args = parser.parse_args()
    points = [(axis, value) for axis in args.axes for value in AXES[axis]]
    results: dict[str, dict[int, dict[str, Ratio]]] = {}
    for axis, value in track(points, 'Measuring'):
        found = measure(axis, value, args.rounds)
        results.setdefault(axis, {})[value] = found
        release_freed_memory()
        print(f'{axis} {value}: ' + ', '.join(
            f'{name} {ratio.value:.2f} ({ratio.spread[0]:.2f} to '
            f'{ratio.spread[1]:.2f})' for name, ratio in found.items()))
    with write_atomically(args.out, 'wb') as file:
        draw(results).savefig(file, format='png', dpi=100)


if __name__ == '__main__':
    restart_keeping_freed_memory()
    main()
