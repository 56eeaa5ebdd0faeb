"""Do the tests bite? Apply small mutations one by one, and see who notices.

``python research/mutations.py`` copies the checkout to a temporary folder,
changes one place there at a time (a flipped sign, a dropped term, a swapped
axis, a removed detach), runs the quick tests of the rooms concerned until the
first fails, and prints which mutations none of them caught.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = 'dsts_mmaction'
# Quick ones first; each stops at its first failure.
TESTS = dict(
    dsts=['tests/test_dsts', 'tests/test_udl/test_steps.py'],
    udl=['tests/test_udl'],
    adapters=['tests/test_adapters', 'tests/test_dsts/test_layer.py'])


class Mutation(NamedTuple):
    """A change of one place.

    Attributes:
        file: Below the package.
        old: Text that stands there once.
        new: Text that takes its place.
    """
    file: str
    old: str
    new: str


MUTATIONS = [
    Mutation('dsts/straight_through.py', 'return -noise', 'return noise'),
    Mutation('dsts/straight_through.py', '(soft - soft.detach())',
             '(soft.detach() - soft)'),
    Mutation('dsts/straight_through.py', 'logits / temperature',
             'logits * temperature'),
    Mutation('dsts/layer.py', 'routing = routing.detach()', 'pass'),
    Mutation('dsts/layer.py', 'z = z + F.relu', 'z = F.relu'),
    Mutation('dsts/layer.py', 'noise.gates)', 'None)'),
    Mutation('dsts/neurons.py', 'std=PRIVATE_STD * std', 'std=std'),
    Mutation('dsts/neurons.py', 'argmax(dim=-1) == 0', 'argmax(dim=-1) == 1'),
    Mutation('dsts/neurons.py', 'self.gate_logits[0].clone()',
             'self.gate_logits.clone()'),
    Mutation('dsts/kernel_mixing.py',
             'torch.addcmul(mixed, total, shared.flatten(1))',
             'mixed + shared.flatten(1)'),
    Mutation('dsts/kernel_mixing.py', 'selected * grad)', 'grad)'),
    Mutation('dsts/kernel_mixing.py',
             'grad_weights = _Score.apply(grad, grad_out)',
             'grad_weights = _Score.apply(grad, grad_out.detach())'),
    Mutation('dsts/time_course.py', '(order > 0)', '(order >= 0)'),
    Mutation('dsts/time_course.py', '+ 0.5', '+ 0.4'),
    Mutation('dsts/readout.py', 'self.gain * self.project', 'self.project'),
    Mutation('dsts/router_losses.py', '.square()', '.abs()'),
    Mutation('dsts/router_losses.py', 'return num_neurons * ', 'return '),
    Mutation('dsts/module.py', 'self.balance_loss_weight * torch', 'torch'),
    Mutation('dsts/hyper_gradient.py', 'parameter - inner_lr',
             'parameter + inner_lr'),
    Mutation('dsts/hyper_gradient.py', 'order == 2)', 'False)'),
    Mutation('dsts/hyper_gradient.py', 'gradient / loss_scale', 'gradient'),
    Mutation('dsts/hyper_gradient.py', '**simulated}, held_out',
             '**downstream}, held_out'),
    Mutation('udl/steps.py', 'b.clone()', 'b'),
    Mutation('udl/steps.py', 'total[:-1] / total[-1]', 'total[:-1]'),
    Mutation('udl/steps.py', "all_reduce(total, 'sum')", 'pass'),
    Mutation('udl/hook.py', 'samples.detach())', 'samples)'),
    Mutation('udl/hook.py', 'random_streams(self._seed(0))',
             'random_streams()'),
    Mutation('udl/hook.py', 'self.learner.forget_gradients()', 'pass'),
    Mutation('udl/samples.py', '// 2 * num_repeats', '// 2'),
    Mutation('udl/tails.py', 'self.adapter.feature_listener = before',
             'pass'),
    Mutation('adapters/layouts.py', '0, 4, 3, 1, 2', '0, 4, 1, 3, 2'),
    Mutation('adapters/layouts.py',
             'clips.transpose(1, 2).flatten(0, 1)',
             'clips.transpose(0, 1).flatten(0, 1)'),
    Mutation('adapters/frames.py', 'known //= 2', 'known //= 1'),
    Mutation('adapters/dsts_head.py', '**losses, **dsts_losses', '**losses'),
]


def apply(mutation: Mutation, checkout: Path) -> None:
    """Change a file of a checkout.

    Raises:
        ValueError: The text to change does not stand there exactly once.
    """
    path = checkout / PACKAGE / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise ValueError(f'{mutation.file} must have {mutation.old!r} once, '
                         f'has it {text.count(mutation.old)} times.')
    path.write_text(text.replace(mutation.old, mutation.new))


def is_caught(mutation: Mutation, checkout: Path) -> bool:
    """Whether a quick test of the room fails with a mutation."""
    path = checkout / PACKAGE / mutation.file
    before = path.read_text()
    apply(mutation, checkout)
    try:
        room = mutation.file.partition('/')[0]
        done = subprocess.run(
            [sys.executable, '-m', 'pytest', '-x', '-q', '-m', 'not slow',
             '-p', 'no:cacheprovider', *TESTS[room]],
            cwd=checkout, capture_output=True, text=True,
            env={**os.environ, 'PYTHONPATH': str(checkout),
                 'OMP_NUM_THREADS': '1'})
    finally:
        path.write_text(before)
    if done.returncode not in (0, 1, 2):
        raise RuntimeError(f'pytest did not run: {done.stdout[-2000:]}')
    return done.returncode != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only', type=int, nargs='+', metavar='N',
                        help='numbers of mutations, from 0 on')
    args = parser.parse_args()
    numbers = args.only or range(len(MUTATIONS))
    console = Console()
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / 'checkout'
        for name in (PACKAGE, 'tests', 'configs', 'tools'):
            shutil.copytree(ROOT / name, checkout / name)
        shutil.copy(ROOT / 'pyproject.toml', checkout)
        table = Table('N', 'File', 'Change', 'Caught')
        for number in numbers:
            mutation = MUTATIONS[number]
            caught = is_caught(mutation, checkout)
            console.print(f'{number}: {"caught" if caught else "MISSED"}')
            table.add_row(str(number), mutation.file,
                          f'{mutation.old} -> {mutation.new}',
                          'yes' if caught else 'no')
            missed += [] if caught else [number]
    console.print(table)
    console.print(f'{len(numbers) - len(missed)} of {len(numbers)} caught')


if __name__ == '__main__':
    main()
