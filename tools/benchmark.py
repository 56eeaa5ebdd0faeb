"""Compare recognizers with and without DSTS over variants and seeds."""

import argparse
import os
import shlex
import signal
import sys

from mmengine.config import DictAction

from dsts_mmaction.benchmark.benchmark import Settings, run_benchmark
from dsts_mmaction.benchmark.variants import (
    DEFAULT_VARIANTS,
    VARIANTS,
    parse_variant,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Train and test every host, variant and seed, each run '
        'in a process of its own, and write WORK_DIR/results.json with '
        'tables and figures. A stopped benchmark goes on where it was.')
    parser.add_argument(
        'hosts', nargs='+', metavar='HOST_CONFIG',
        help='configs of plain recognizers')
    parser.add_argument(
        '--work-dir', required=True,
        help='directory for results, and for configs, logs and checkpoints '
        'of every run')

    data = parser.add_argument_group('data')
    data.add_argument(
        '--data-root', help="folder of the clips (default: the config's)")
    for split in ('train', 'val', 'test'):
        data.add_argument(
            f'--{split}-list', metavar='LIST',
            help="list below it (default: the config's)")
    data.add_argument(
        '--data-set', metavar='NAME',
        help='its name in results (default: name of its folder and number '
        'of classes)')
    data.add_argument(
        '--class-names', metavar='FILE', help='names of the classes')
    data.add_argument(
        '--num-classes', type=int,
        help="number of classes (default: that of the names, or the "
        "config's)")
    data.add_argument(
        '--groups', metavar='FILE',
        help='groups of look-alike classes, or published numbers '
        '(docs/benchmarks.json), for the groups of their table of this host '
        "and data set (default: found from the baselines' confusions, of all "
        'hosts together, on the validation list, unless that has test clips)')
    data.add_argument(
        '--fold', metavar='K/N', type=fold,
        help='instead of the test list, which is then not opened, test on '
        'subjects left out of the training and validation list; the latter '
        'is left out where it is the test list')
    data.add_argument(
        '--fold-by', metavar='REGEX',
        help=r"finds a clip's subject in its path, such as '_s(\d+)_'")

    runs = parser.add_argument_group('runs')
    runs.add_argument(
        '--variants', nargs='+', default=DEFAULT_VARIANTS,
        choices=list(VARIANTS), metavar='NAME',
        help=f'out of {", ".join(VARIANTS)} (default: '
        f'{" ".join(DEFAULT_VARIANTS)})')
    runs.add_argument(
        '--variant', action='append', default=[], type=variant,
        metavar='NAME:KEY=VALUE,…', dest='further',
        help='a further variant: options of dsts, udl=1 or udl=2, and '
        'udl.OPTION of UpstreamDownstreamHook')
    runs.add_argument(
        '--seeds', nargs='+', type=int, default=[0, 1, 2], metavar='N',
        help='default: 0 1 2')
    runs.add_argument(
        '--epochs', type=int, help="default: the config's own")
    runs.add_argument(
        '--extra-epochs', type=int,
        help='epochs of the extra budget (default: half as many)')
    runs.add_argument(
        '--warm-start', action='store_true',
        help='train the baseline for EPOCHS, then go on from it with every '
        'other variant for EXTRA_EPOCHS')
    runs.add_argument(
        '--extra-lr-mult', type=float, default=0.5, metavar='X',
        help='learning rate after a warm start, as a multiple of the '
        "config's (default: %(default)s)")
    runs.add_argument(
        '--val-interval', type=int, metavar='EPOCHS',
        help='validate that often (default: only after the last epoch)')
    runs.add_argument(
        '--amp', action='store_true',
        help='automatic mixed precision (bfloat16 on the CPU)')
    runs.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
        help='changes of the configs, as in tools/train.py')

    machine = parser.add_argument_group('machine')
    machine.add_argument(
        '--jobs', type=int, default=1, help='runs at once (default: 1)')
    machine.add_argument(
        '--threads', type=int,
        help='threads of each run (default: cores over jobs)')
    return parser.parse_args()


def fold(text: str) -> tuple:
    number, _, total = text.partition('/')
    if not (number.isdecimal() and total.isdecimal()):
        raise argparse.ArgumentTypeError(f'must be K/N, got {text!r}')
    return int(number), int(total)


def variant(text: str) -> object:
    try:
        return parse_variant(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(error) from None


def main() -> None:
    args = parse_args()

    def stop(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    # The runs have processes of their own: end them with this one.
    signal.signal(signal.SIGTERM, stop)
    options = vars(args)
    options['variants'] = [
        *(VARIANTS[name] for name in args.variants), *options.pop('further')
    ]
    options['lists'] = {
        split: path for split in ('train', 'val', 'test')
        if (path := options.pop(f'{split}_list')) is not None
    }
    command = ['python', os.path.relpath(sys.argv[0]), *sys.argv[1:]]
    try:
        results = run_benchmark(
            Settings(**options, command=shlex.join(command)))
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit('Stopped. Run the same command again to continue.')
    if results['failed']:
        sys.exit(f"{len(results['failed'])} runs failed; run the same "
                 'command again to try them once more.')


if __name__ == '__main__':
    main()
