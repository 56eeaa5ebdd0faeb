"""Write the specialized twin of any recognizer's config.

    python tools/specialize.py mmaction::recognition/tsm/….py --udl 2

The written config inherits from CONFIG with only what changes; MMAction2's
train.py runs it as it is. With --num-classes and annotation lists, it becomes
a config for one's own videos.
"""
import argparse
import copy
import os
import sys
from pathlib import Path
from typing import Any

from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from rich.console import Console

from dsts_mmaction.benchmark.variants import count_parameters
from dsts_mmaction.tailor.fine_tuning import check_data, fine_tuning_config
from dsts_mmaction.tailor.inheriting import load_as_base, write_inheriting
from dsts_mmaction.tailor.placement import (
    channels_at,
    check_recognizer,
    placement,
)
from dsts_mmaction.tailor.requirements import (
    missing_for_training,
    missing_package,
)
from dsts_mmaction.tailor.specialize import specialize_config
from dsts_mmaction.utils.checkpoints import read_checkpoint, unwrapped
from dsts_mmaction.utils.configs import without_weights, zoo_checkpoint

ORDERS: dict[str, int | None] = {'off': None, '1': 1, '2': 2}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write the specialized twin of a recognizer's config, or "
        'a config that fine-tunes it on your own videos.')
    parser.add_argument(
        'config', metavar='CONFIG',
        help='config of a plain recognizer, a file or a name like '
        'mmaction::recognition/tsm/….py')
    parser.add_argument(
        '--out', type=Path, metavar='FILE',
        help='where to (default: dsts-NAME.py or dsts-udl-NAME.py, in the '
        'current folder)')
    parser.add_argument('--force', action='store_true',
                        help='replace an existing file')
    dsts = parser.add_argument_group('specialization')
    dsts.add_argument('--num-neurons', type=int, default=10, metavar='N',
                      help='in each layer (default: %(default)s)')
    dsts.add_argument('--num-layers', type=int, default=3, metavar='L',
                      help='default: %(default)s')
    dsts.add_argument('--mid-channels', type=int, metavar='M',
                      help="inner channels (default: a quarter of the "
                      "features', at most 256)")
    dsts.add_argument('--udl', choices=list(ORDERS), default='off',
                      help='order of Upstream-Downstream Learning (default: '
                      '%(default)s, trained jointly)')
    data = parser.add_argument_group('your own data, all or none')
    data.add_argument('--num-classes', type=int, metavar='K')
    data.add_argument('--data-root', metavar='DIR',
                      help="folder that the lists' paths start from")
    data.add_argument('--ann-train', metavar='LIST',
                      help='lines PATH LABEL, labels from 0')
    data.add_argument('--ann-val', metavar='LIST')
    data.add_argument('--ann-test', metavar='LIST',
                      help='default: that of --ann-val')
    data.add_argument('--no-flip', action='store_true',
                      help='do not flip training clips: classes name left '
                      'and right, or clockwise and counter-clockwise')
    more = parser.add_argument_group('training')
    more.add_argument('--load-from', metavar='CHECKPOINT',
                      help='of the plain recognizer; training starts there '
                      '(default: with your own data and a config of '
                      "MMAction2, MMAction2's weights for it; none: as the "
                      'config has it)')
    more.add_argument('--epochs', type=int,
                      help="default: the config's; with your own data only")
    more.add_argument('--gpus', type=int,
                      help='that it will be trained on; the learning rate is '
                      'scaled to their batch (default: 1; with your own data '
                      'only)')
    return parser.parse_args()


def own_data(args: argparse.Namespace) -> dict[str, str] | None:
    """The annotation lists; None if no data are given.

    Raises:
        ValueError: Only a part of them is given, or one is out of range.
    """
    required = {
        '--num-classes': args.num_classes, '--data-root': args.data_root,
        '--ann-train': args.ann_train, '--ann-val': args.ann_val}
    missing = [name for name, value in required.items() if value is None]
    if len(missing) == len(required) and args.ann_test is None:
        for option, is_given in (('--epochs', args.epochs is not None),
                                 ('--gpus', args.gpus is not None),
                                 ('--no-flip', args.no_flip)):
            if is_given:
                raise ValueError(f'{option} needs your own data: '
                                 f'{", ".join(missing)}.')
        return None
    if missing:
        raise ValueError('your own data need '
                         f'{", ".join(required)}; missing: '
                         f'{", ".join(missing)}.')
    for name, value, least in (('--num-classes', args.num_classes, 2),
                               ('--epochs', args.epochs, 1),
                               ('--gpus', args.gpus, 1)):
        if value is not None and value < least:
            raise ValueError(f'{name} must be at least {least}, got {value}.')
    lists = dict(train=args.ann_train, val=args.ann_val)
    if args.ann_test is not None:
        lists['test'] = args.ann_test
    return lists


def starting_checkpoint(args: argparse.Namespace,
                        own_data: bool) -> str | None:
    """What training starts from; None if the config decides.

    Raises:
        ValueError: There is no such file.
    """
    if args.load_from is None and own_data:
        return zoo_checkpoint(args.config)
    if args.load_from in (None, 'none'):
        return None
    if '://' not in args.load_from and not os.path.isfile(args.load_from):
        raise ValueError(f'--load-from {args.load_from} does not exist.')
    return args.load_from


def check_checkpoint(path: str, cfg: Config) -> None:
    """Check that a checkpoint has something of a recognizer.

    Raises:
        ValueError: It has nothing, or cannot be read.
    """
    saved = unwrapped(read_checkpoint(path)['state_dict'])
    if missing_package(cfg) is None and saved.keys().isdisjoint(
            MODELS.build(copy.deepcopy(cfg.model)).state_dict()):
        raise ValueError(f'--load-from {path} has no tensor of the '
                         'recognizer of CONFIG: it is that of another.')


def specialize(args: argparse.Namespace, console: Console) -> Path:
    """Write the config that the arguments ask for.

    Returns:
        Where it is.

    Raises:
        ValueError: An argument, CONFIG or the data are not usable; nothing
            is written then.
    """
    lists = own_data(args)
    out = args.out or Path('dsts-{}{}'.format(
        '' if args.udl == 'off' else 'udl-',
        Path(args.config.partition('::')[2] or args.config).stem) + '.py')
    if out.suffix != '.py' or out.is_dir():
        raise ValueError(f'--out must be a file that ends in .py, got {out}.')
    if out.exists() and not args.force:
        raise ValueError(f'{out} exists: give --force to replace it, or '
                         'another --out.')
    load_from = starting_checkpoint(args, lists is not None)

    base = load_as_base(args.config)
    init_default_scope('mmaction')
    check_recognizer(base)
    missing = [missing_package(base), missing_for_training(base)]
    remarks = [f'{what}, which is not installed: training will stop there.'
               for what in missing if what]
    cfg = base
    if lists is not None:
        sizes = check_data(lists, args.data_root, args.num_classes)
        console.print('Clips:', ', '.join(
            f'{split} {size}' for split, size in sizes.items()))
        cfg, more = fine_tuning_config(
            base, args.num_classes, lists, args.data_root, args.epochs,
            args.gpus or 1, not args.no_flip)
        remarks += more
    dsts: dict[str, Any] = dict(num_neurons=args.num_neurons,
                                num_layers=args.num_layers)
    if args.mid_channels is not None:
        dsts['mid_channels'] = args.mid_channels
    if load_from:
        # Or other weights would be loaded, maybe from the network, before.
        cfg = without_weights(cfg)
        cfg.load_from = load_from
        if os.path.isfile(load_from):
            check_checkpoint(load_from, cfg)
        if load_from != args.load_from:
            remarks.append(f'Training starts from {load_from}.')
    elif lists is not None and args.load_from is None:
        remarks.append('Training starts as the config has it: no weights of '
                       'MMAction2 are known for it. --load-from names yours.')
    place = placement(cfg)
    added = count_parameters(dsts, channels_at(cfg, place))
    cfg = specialize_config(cfg, dsts, ORDERS[args.udl], place=place)
    write_inheriting(out, args.config, base, cfg,
                     'Written by tools/specialize.py.')
    console.print(f'Parameters of DSTS: {added / 1e6:.2f} M')
    for remark in remarks:
        console.print('Note:', remark, soft_wrap=True)
    return out


def main() -> None:
    console = Console(highlight=False)
    try:
        out = specialize(parse_args(), console)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    console.print(f'Written: {out}\nTrain it with: python tools/train.py '
                  f'{out}', soft_wrap=True)


if __name__ == '__main__':
    main()
