"""Measure what DSTS costs, as ratios of two things measured in one run.

Each row measures two sides in turn and prints the median ratio with its
quartiles. ``--json`` writes a list of {"name", "value", "spread", "bar",
"met"}; rows without a bar are there for information, or to compare
implementations.
"""
import argparse
import datetime
import gc
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch._inductor.exc import InvalidCxxCompiler

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dsts_mmaction.benchmark.report import provenance  # noqa: E402
from dsts_mmaction.deploy import dispatch  # noqa: E402
from dsts_mmaction.deploy.exporting import missing_packages  # noqa: E402
from dsts_mmaction.deploy.folding import fuse  # noqa: E402
from dsts_mmaction.dsts.convolutions import pointwise  # noqa: E402
from dsts_mmaction.models import DSTSModule  # noqa: E402
from dsts_mmaction.utils import Ratio, measure_ratio  # noqa: E402
from dsts_mmaction.utils.atomic import write_atomically  # noqa: E402
from dsts_mmaction.utils.machine import describe_machine  # noqa: E402
from dsts_mmaction.utils.malloc import (  # noqa: E402
    release_freed_memory,
    restart_keeping_freed_memory,
)
from dsts_mmaction.utils.markdown import markdown_table, write_document  # noqa: E402
from dsts_mmaction.utils.memory import measure_memory_ratio  # noqa: E402
from tests.reference import dense_forward  # noqa: E402
from tools.bench_evaluation import (  # noqa: E402
    PlainConvolutions,
    compiled_and_eager,
    deployed_and_plain,
    recognizer_growth,
    without_gradients,
)
from tools.bench_iterations import (  # noqa: E402
    Setting,
    Training,
    as_if_trained,
    training_memory,
)
from tools.bench_reading import pipeline_and_plain  # noqa: E402

Sides = tuple[Callable[[], object], Callable[[], object]]
COLUMNS = ('name', 'what', 'ratio', 'quartiles', 'bar', 'met', 'either side')
SHAPE = (8, 256, 8, 7, 7)  # batch, channels, frames, height, width
CONFIGS = ROOT / 'configs' / 'tsm'
R50 = Setting(
    'TSM-R50',
    str(CONFIGS / 'dsts-udl-tsm_r50_8xb16-1x1x8-50e_sthv2-rgb.py'),
    batch=8,
    size=224)
SLOWFAST = str(ROOT / 'configs' / 'slowfast' /
               'dsts-slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb.py')
R50_COMPILED = R50._replace(compile=True)
R18 = Setting(
    'TSM-R18',
    str(CONFIGS / 'dsts-udl-tsm_r18_1xb16-1x1x8-8e_shrec17-rgb.py'),
    batch=16,
    size=64)


class Row(NamedTuple):
    """One ratio, and what it must not exceed or must reach.

    ``measure`` measures it in the given number of rounds. ``missing`` says
    what it needs and is not here, if anything.
    """
    what: str
    measure: Callable[[int], Ratio]
    at_most: float | None = None
    at_least: float | None = None
    max_rounds: int | None = None
    missing: Callable[[], str | None] = lambda: None

    def met(self, value: float) -> bool | None:
        if self.at_most is not None:
            return value <= self.at_most
        return None if self.at_least is None else value >= self.at_least

    def bar(self) -> str | None:
        if self.at_most is not None:
            return f'<= {self.at_most}'
        return None if self.at_least is None else f'>= {self.at_least}'


def timed(sides: Callable[[], Sides],
          warmup: int = 2) -> Callable[[int], Ratio]:
    """How to measure a row whose sides are timed in turn."""
    return lambda rounds: measure_ratio(
        *sides(), rounds=rounds, warmup=warmup)


def iterations(numerator: str, denominator: str, setting: Setting,
               warmup: int = 2) -> Callable[[int], Ratio]:
    """Training iterations of two of the variants in bench_iterations.py."""
    return timed(
        lambda: (Training(numerator, setting),
                 Training(denominator, setting)), warmup)


def memory(numerator: str, denominator: str,
           setting: Setting) -> Callable[[int], Ratio]:
    """Peak memory of their iterations, of each in a process of its own."""
    return lambda rounds: measure_memory_ratio(
        partial(training_memory, numerator, setting),
        partial(training_memory, denominator, setting),
        rounds=rounds)


def missing_compiler() -> str | None:
    """What torch.compile needs on a CPU, if it is not installed."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return 'a C++ compiler'
    return None


def make_module(num_neurons: int, mid_channels: int,
                num_layers: int) -> DSTSModule:
    torch.manual_seed(0)
    return as_if_trained(
        DSTSModule(
            SHAPE[1],
            num_neurons=num_neurons,
            mid_channels=mid_channels,
            num_layers=num_layers), torch.randn(SHAPE))


def training(forward: Callable, module: DSTSModule) -> Callable[[], None]:
    """One forward and backward of a module, or of its reference."""
    x = torch.randn(SHAPE, requires_grad=True)
    target = torch.randn(SHAPE)

    def step() -> None:
        module.zero_grad()
        features, losses = forward(module, x)[:2]
        ((features * target).mean() + sum(losses.values())).backward()

    return step


def ours(module: DSTSModule, x: torch.Tensor) -> tuple:
    return module(x)


def dense(module: DSTSModule, x: torch.Tensor) -> tuple:
    return dense_forward(module, x, module.sample_noise(len(x)))


def growth(mid_channels: int) -> Sides:
    return tuple(
        training(ours, make_module(n, mid_channels, num_layers=2))
        for n in (64, 4))


def dense_training(num_neurons: int) -> Sides:
    module = make_module(num_neurons, 256, num_layers=3)
    return training(dense, module), training(ours, module)


def evaluation(numerator: Callable, denominator: Callable,
               num_neurons: int = 10) -> Sides:
    """Forwards in evaluation, made by two functions of one module."""
    module = make_module(num_neurons, 256, num_layers=3).eval()
    x = torch.randn(SHAPE)
    return tuple(without_gradients(make(module), x)
                 for make in (numerator, denominator))


def dense_evaluation() -> Sides:
    return evaluation(lambda module: partial(dense_forward, module), fuse)


def by_neuron(module: DSTSModule) -> Callable:
    """Evaluation that never runs samples as groups of one convolution."""
    deployed = fuse(module)

    def forward(x: torch.Tensor) -> object:
        with mock.patch.object(dispatch, 'SAMPLES_PER_NEURON', 0):
            return deployed(x)

    return forward


def batched(module: DSTSModule) -> Callable:
    """The deployed form as it is exported, in batched matrix products."""
    deployed = fuse(module)
    deployed.batched = True
    return deployed


def pointwise_2d() -> Sides:
    """Forward and backward of F.conv2d over those of the package."""
    inputs = [torch.randn(SHAPE, requires_grad=True),
              torch.randn(256, SHAPE[1], 1, 1, requires_grad=True)]
    target = torch.randn(SHAPE)

    def run(way: Callable) -> Callable[[], None]:
        return lambda: torch.autograd.grad(way(*inputs), inputs, target)

    return (run(lambda x, weight: F.conv2d(x.flatten(3), weight)
                .view(SHAPE)), run(pointwise))


# Other ways to run each sample with its own kernels. The package has one.


def loop_over_samples(z: torch.Tensor, spatial: torch.Tensor,
                      temporal: torch.Tensor) -> torch.Tensor:
    return torch.stack([
        F.conv2d(zb.transpose(0, 1), s, padding=1).transpose(0, 1) +
        F.conv2d(zb.flatten(2)[None], t[..., None], padding=(1, 0))
        .view_as(zb) for zb, s, t in zip(z, spatial, temporal)
    ])


def unfold(z: torch.Tensor, spatial: torch.Tensor,
           temporal: torch.Tensor) -> torch.Tensor:
    batch, channels, frames, height, width = z.shape
    p = F.pad(z, (1, ) * 6)
    taps = [
        p[:, :, 1:-1, i:i + height, j:j + width] for i in range(3)
        for j in range(3)
    ] + [p[:, :, i:i + frames, 1:-1, 1:-1] for i in range(3)]
    columns = torch.stack(taps, 2).reshape(batch, channels * 12, -1)
    kernels = torch.cat([spatial.flatten(3), temporal], 3).flatten(2)
    return torch.bmm(kernels, columns).view(z.shape)


def grouped_conv2d(z: torch.Tensor, spatial: torch.Tensor,
                   temporal: torch.Tensor) -> torch.Tensor:
    batch, channels, frames, height, width = z.shape
    by_frame = z.permute(2, 0, 1, 3, 4).flatten(1, 2)
    out = F.conv2d(by_frame, spatial.flatten(0, 1), padding=1, groups=batch)
    out = out.unflatten(1, (batch, channels)).permute(1, 2, 0, 3, 4)
    folded = z.reshape(1, batch * channels, frames, -1)
    kernels = temporal.flatten(0, 1).unsqueeze(3)
    return out + F.conv2d(
        folded, kernels, padding=(1, 0), groups=batch).view(z.shape)


def grouped_conv3d(z: torch.Tensor, spatial: torch.Tensor,
                   temporal: torch.Tensor) -> torch.Tensor:
    """What the package does: spatial as 3D, temporal as 2D convolution."""
    batch, channels, frames = z.shape[:3]
    out = F.conv3d(
        z.reshape(1, -1, *z.shape[2:]),
        spatial.flatten(0, 1).unsqueeze(2),
        padding=(0, 1, 1),
        groups=batch)
    folded = z.reshape(1, batch * channels, frames, -1)
    kernels = temporal.flatten(0, 1).unsqueeze(3)
    return out.view(z.shape) + F.conv2d(
        folded, kernels, padding=(1, 0), groups=batch).view(z.shape)


def convolution(other: Callable) -> Sides:
    """Forward and backward of another way over that of the package."""
    batch, _, *size = SHAPE
    inputs = [
        torch.randn(shape, requires_grad=True)
        for shape in ((batch, 256, *size), (batch, 256, 256, 3, 3),
                      (batch, 256, 256, 3))
    ]
    target = torch.randn(batch, 256, *size)

    def run(way: Callable) -> Callable[[], None]:
        return lambda: torch.autograd.grad(way(*inputs), inputs, target)

    return run(other), run(grouped_conv3d)


def plain_mixing(num_neurons: int, mid_channels: int) -> Sides:
    """Mixing by a matrix product over all kernels, over that of ours."""
    from dsts_mmaction.dsts.kernel_mixing import mix_kernels
    channels, depth = mid_channels, mid_channels * 12
    kernels = torch.randn(num_neurons, channels, depth, requires_grad=True)
    index = torch.arange(SHAPE[0]) % num_neurons
    weights = F.one_hot(index, num_neurons).float()[..., None].repeat(
        1, 1, channels).requires_grad_()
    target = torch.randn(SHAPE[0], channels, depth)

    def run(way: Callable) -> Callable[[], None]:
        return lambda: torch.autograd.grad(way(), (weights, kernels), target)

    shared = torch.randn(channels, depth)
    return (run(lambda: torch.einsum('bnc,ncd->bcd', weights,
                                     kernels + shared)),
            run(lambda: mix_kernels(weights, kernels, shared, index)))


ROWS: dict[str, Row] = {
    # Two cores take 8 s for an iteration of R50: few rounds.
    'train_joint_vs_base':
    Row(f'training iteration, {R50}, with / without DSTS',
        iterations('joint', 'base', R50),
        at_most=1.05,
        max_rounds=7),
    'train_udl1_vs_joint':
    Row(f'training iteration, {R50}, UDL order 1 / joint',
        iterations('udl1', 'joint', R50),
        at_most=1.08,
        max_rounds=7),
    'train_udl2_vs_joint':
    Row(f'training iteration, {R50}, UDL order 2 / joint',
        iterations('udl2', 'joint', R50),
        at_most=1.15,
        max_rounds=7),
    'generic_vs_udl2':
    Row(f'training iteration, {R50}, UDL order 2, torch.func over the whole '
        'recognizer / ours',
        iterations('generic', 'udl2', R50, warmup=1),
        at_least=2,
        max_rounds=3),
    'mem_udl2_vs_base':
    Row(f'peak memory of training, {R50}, UDL order 2 / without DSTS',
        memory('udl2', 'base', R50),
        at_most=1.2,
        max_rounds=2),
    'train_joint_vs_base_small':
    Row(f'training iteration, {R18}, with / without DSTS',
        iterations('joint', 'base', R18)),
    'train_udl2_vs_joint_small':
    Row(f'training iteration, {R18}, UDL order 2 / joint',
        iterations('udl2', 'joint', R18)),
    'train_n64_vs_n4_m64':
    Row('training, N=64 / N=4, M=64, L=2', timed(lambda: growth(64)),
        at_most=1.5),
    'train_n64_vs_n4':
    Row('training, N=64 / N=4, M=256, L=2', timed(lambda: growth(256)),
        at_most=1.5),
    'train_dense_vs_ours_n10':
    Row('training, dense / ours, N=10', timed(lambda: dense_training(10)),
        at_least=5),
    'train_dense_vs_ours_n32':
    Row('training, dense / ours, N=32', timed(lambda: dense_training(32)),
        at_least=15),
    'eval_dense_vs_ours':
    Row('evaluation, dense / deployed, N=10', timed(dense_evaluation),
        at_least=10),
    'eval_vs_limit':
    Row('evaluation, deployed / plain convolutions of the same operations, '
        'N=10',
        timed(lambda: evaluation(fuse, PlainConvolutions)),
        at_most=1.5),
    'eval_deployed_n64_vs_n4':
    Row('evaluation, deployed, N=64 / N=4',
        timed(lambda: (evaluation(fuse, fuse, 64)[0],
                       evaluation(fuse, fuse, 4)[0]))),
    'infer_n64_vs_n4':
    Row('inference, TSM-R50 8x224x224, batch 8, deployed, N=64 / N=4',
        timed(partial(recognizer_growth, R50.config, 8)),
        at_most=1.05,
        max_rounds=7),
    **{f'infer_{name}_b{batch}':
       Row(f'inference, {title}, batch {batch}, deployed with / without DSTS',
           timed(partial(deployed_and_plain, config, batch)),
           at_most=1.05, max_rounds=15 if batch == 1 else 7)
       for name, title, config in (
           ('tsm', 'TSM-R50 8x224x224', R50.config),
           ('slowfast', 'SlowFast-R50 32x224x224', SLOWFAST))
       for batch in (1, 8)},
    **{f'infer_{name}_b{batch}_{form}':
       Row(f'inference, {title}, batch {batch}, {form}, deployed with / '
           'without DSTS',
           timed(partial(deployed_and_plain, config, batch, form)),
           max_rounds=15 if batch == 1 else 7,
           missing=missing_packages if form == 'onnx' else missing_compiler)
       for name, title, config, batch, form in (
           ('tsm', 'TSM-R50 8x224x224', R50.config, 1, 'compiled'),
           ('tsm', 'TSM-R50 8x224x224', R50.config, 1, 'onnx'),
           ('tsm', 'TSM-R50 8x224x224', R50.config, 8, 'onnx'),
           ('slowfast', 'SlowFast-R50 32x224x224', SLOWFAST, 1, 'onnx'))},
    'infer_tsm_b1_program':
    Row('inference, TSM-R50 8x224x224, batch 1, program, deployed with / '
        'without DSTS',
        timed(partial(deployed_and_plain, R50.config, 1, 'program'))),
    'infer_tsm_b1_compiled_vs_eager':
    Row('inference, TSM-R50 8x224x224, batch 1, deployed, compiled / eager',
        timed(partial(compiled_and_eager, R50.config, 1)),
        missing=missing_compiler),
    'eval_compiled_vs_eager':
    Row('evaluation, compiled / eager, N=10',
        timed(lambda: evaluation(torch.compile, lambda module: module)),
        missing=missing_compiler),
    'train_compiled_vs_eager':
    Row(f'training iteration, {R50}, joint, compiled / eager',
        timed(lambda: (Training('joint', R50_COMPILED),
                       Training('joint', R50))),
        max_rounds=3,
        missing=missing_compiler),
    'train_joint_vs_base_compiled':
    Row(f'training iteration, {R50_COMPILED}, with / without DSTS',
        iterations('joint', 'base', R50_COMPILED),
        max_rounds=3,
        missing=missing_compiler),
    'read_vs_decord':
    Row('reading a clip, validation pipeline / plain decord and OpenCV',
        timed(lambda: pipeline_and_plain(R50.config))),
    'eval_by_neuron_vs_ours':
    Row('evaluation, N=10: neuron by neuron / ours, samples as groups',
        timed(lambda: evaluation(by_neuron, fuse))),
    'eval_batched_vs_ours':
    Row('evaluation, deployed, N=10: batched matrix products / ours',
        timed(lambda: evaluation(batched, fuse))),
    'conv_pointwise_2d_vs_ours':
    Row('1x1x1 convolution: as conv2d / ours, as matrix products',
        timed(pointwise_2d)),
    'conv_loop_vs_ours':
    Row('per-sample kernels: loop over samples / ours',
        timed(lambda: convolution(loop_over_samples))),
    'conv_unfold_vs_ours':
    Row('per-sample kernels: unfold and matrix product / ours',
        timed(lambda: convolution(unfold))),
    'conv_grouped_2d_vs_ours':
    Row('per-sample kernels: all 2D / ours',
        timed(lambda: convolution(grouped_conv2d))),
    'mix_plain_vs_ours_n64':
    Row('mixing kernels: matrix product / ours, N=64, M=64',
        timed(lambda: plain_mixing(64, 64))),
}


def measure(names: list[str],
            rounds: int) -> Iterator[tuple[str, Row, Ratio]]:
    for name in track(names, 'Measuring'):
        row = ROWS[name]
        yield name, row, row.measure(min(rounds, row.max_rounds or rounds))
        gc.collect()  # a Runner and its hooks refer to each other
        release_freed_memory()


def describe(name: str, row: Row, ratio: Ratio) -> list[str]:
    """One line of the table."""
    return [name, row.what, f'{ratio.value:.2f}',
            '{:.2f} to {:.2f}'.format(*ratio.spread), row.bar() or '',
            {None: '', True: 'yes', False: 'no'}[row.met(ratio.value)],
            '{:.3f} / {:.3f} {}'.format(*ratio.sides, ratio.unit)]


def markdown(lines: list[list[str]], rounds: int, left_out: list[str]) -> str:
    """The table with what it was measured on."""
    command = shlex.join(['python', 'tools/bench_speed.py', *sys.argv[1:]])
    text = (f'## Speed\n\n{title(rounds)}.\n\n'
            f'{markdown_table([list(COLUMNS), *lines])}\n')
    if left_out:
        text += f'Left out: {"; ".join(left_out)}.\n\n'
    return text + provenance(dict(
        command=command, date=datetime.date.today().isoformat(),
        machine=describe_machine()))


def title(rounds: int) -> str:
    """On what the rows were measured."""
    device = f'{torch.get_num_threads()} CPU threads'
    if torch.cuda.is_available():
        device += ('; whole training iterations on '
                   f'{torch.cuda.get_device_name()} under autocast')
    return (f'{device}; modules on {"x".join(map(str, SHAPE))}; '
            f'medians of {rounds} rounds, fewer where one takes long; '
            '"bar" is what we aim at')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--only',
        nargs='+',
        choices=list(ROWS),
        default=list(ROWS),
        metavar='NAME',
        help=f'rows to measure: {", ".join(ROWS)} (default: all)')
    parser.add_argument(
        '--rounds',
        type=int,
        default=15,
        help='measured rounds of a row, at least 2; slow rows have fewer '
        '(default: 15)')
    parser.add_argument('--json', help='write the results to this file')
    parser.add_argument('--markdown', type=Path, metavar='FILE',
                        help='write the table to this file as Markdown')
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error(f'--rounds must be 2 or more, got {args.rounds}.')
    for option in ('json', 'markdown'):
        path = getattr(args, option)
        if path is not None and Path(path).is_dir():
            parser.error(f'--{option} must be a file, got the folder {path}.')

    table = Table(title=title(args.rounds))
    for column in COLUMNS:
        table.add_column(column, overflow='fold')
    left_out = {name: f'{name} needs {missing}' for name in args.only
                if (missing := ROWS[name].missing())}
    for reason in left_out.values():
        print(f'left out: {reason}', file=sys.stderr)
    records, lines = [], []
    for name, row, ratio in measure(
            [name for name in args.only if name not in left_out],
            args.rounds):
        records.append(
            dict(name=name, value=ratio.value, spread=ratio.spread,
                 bar=row.bar(), met=row.met(ratio.value)))
        lines.append(describe(name, row, ratio))
        table.add_row(*lines[-1])
        # After every row: a whole run takes long.
        if args.json:
            with write_atomically(args.json) as file:
                json.dump(records, file, indent=2)
        if args.markdown:
            write_document(
                markdown(lines, args.rounds, list(left_out.values())),
                args.markdown)
    Console(width=max(120, Console().width)).print(table)


if __name__ == '__main__':
    # Or both sides would mostly time the kernel, which clears the pages of
    # every large tensor anew.
    restart_keeping_freed_memory()
    main()
