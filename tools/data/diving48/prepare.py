"""Write annotation lists of Diving48 for MMAction2."""

import argparse

from dsts_mmaction.datasets.prepare import read_diving48
from dsts_mmaction.datasets.prepare.command import add_options, run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write train.txt, test.txt and classes.txt of Diving48, '
        'with the labels of its second version.')
    parser.add_argument(
        '--annotations', required=True, metavar='DIR',
        help='folder of Diving48_V2_train.json, Diving48_V2_test.json and '
        'Diving48_vocab.json')
    add_options(parser, ext='mp4')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run(args, lambda: read_diving48(args.annotations))


if __name__ == '__main__':
    main()
