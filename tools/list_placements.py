"""Where DSTS goes in every config of MMAction2, as a Markdown table.

    python tools/list_placements.py --out docs/placements.md
"""
import argparse
from collections import defaultdict
from pathlib import Path
from typing import Dict, List, Tuple

import mmaction
from mmengine.config import Config
from mmengine.registry import init_default_scope

from dsts_mmaction.benchmark.variants import count_parameters
from dsts_mmaction.models.placement import channels_at, placement
from dsts_mmaction.utils.atomic import write_atomically
from dsts_mmaction.utils.markdown import markdown_table

ROOT = Path(mmaction.__file__).parent / '.mim' / 'configs' / 'recognition'
HEADER = ['Family', 'Configs', 'The module specializes', 'Channels',
          'Parameters of DSTS (M)', "UDL's features"]
INTRODUCTION = '''# Where the module goes

<!-- Made by tools/list_placements.py. -->

The place that `tools/specialize.py` finds for the configs of MMAction2, with
default options of `dsts`. Where the module is behind a layer of the backbone,
Upstream-Downstream Learning computes the features a second time in every
iteration; elsewhere, it shares them with the ordinary step. That the
classifier sees the module, that all its parameters learn, and that an upstream
step runs, is tested with one config of each family by `make test`, and with
all of them by `make test-all`, on small inputs; all but tin, which needs the
operators of the full mmcv, TSM over MobileOne, which needs mmpretrain, and the
upstream step of omnisource, whose batches mix images and clips.

'''


def row(path: Path) -> Tuple[str, str, str, str]:
    """What the table says of a config."""
    try:
        cfg = Config.fromfile(path)
        place = placement(cfg)
        channels = channels_at(cfg, place)
        parameters = count_parameters({}, channels)
    except ValueError as error:
        return str(error), '–', '–', '–'
    layer = place.get('layer')
    where = ('the map at the head' if layer is None else
             f'the output of `{layer}`'
             + (', as tokens' if 'tokens' in place else ''))
    if len(channels) > 1:
        where = 'both maps at the head'
    return (where, ', '.join(map(str, channels)), f'{parameters / 1e6:.1f}',
            'shared' if layer is None else 'computed twice')


def table() -> str:
    """One row for each family and place."""
    init_default_scope('mmaction')
    rows: List[List[str]] = [HEADER]
    for family in sorted(ROOT.iterdir()):
        found: Dict[Tuple[str, ...], int] = defaultdict(int)
        for path in sorted(family.glob('*.py')):
            found[row(path)] += 1
        rows += [[family.name, str(count), *what]
                 for what, count in found.items()]
    return markdown_table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description='List where DSTS goes in the configs of MMAction2.')
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    args = parser.parse_args()
    text = INTRODUCTION + table()
    if args.out is None:
        print(text)
        return
    with write_atomically(args.out) as file:
        file.write(text)


if __name__ == '__main__':
    main()
