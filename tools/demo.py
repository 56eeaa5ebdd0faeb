"""Train and test TSN with and without DSTS on a small rendered data set."""

import argparse
import os
import signal
import sys

from dsts_mmaction.benchmark.demo import DemoError, run_demo

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Render SynthDive, train and test TSN with and without '
        'DSTS on it, compare them, and draw the pair of classes that DSTS '
        'separates best. Needs no network and no GPU. A stopped demo goes on '
        'where it was.')
    parser.add_argument(
        '--work-dir',
        default=os.path.join('work_dirs', 'demo'),
        help='directory for logs, checkpoints and results (default: '
        '%(default)s)')
    parser.add_argument(
        '--data-root',
        help='directory for the data set (default: WORK_DIR/synthdive)'
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='seed of the data set and of the trainings (default: 0)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    def stop(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    # The training runs in a process of its own: end it with this one.
    signal.signal(signal.SIGTERM, stop)
    try:
        data_root = args.data_root or os.path.join(args.work_dir, 'synthdive')
        run_demo(ROOT, args.work_dir, data_root, args.seed)
    except (DemoError, ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit('Stopped. Run the same command again to continue.')


if __name__ == '__main__':
    main()
