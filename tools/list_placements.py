"""Where DSTS goes in every config of MMAction2, and what it adds.

python -m pytest tests/test_adapters/test_families.py -m slow \
      --junitxml work_dirs/families.xml
python tools/list_placements.py --results work_dirs/families.xml \
      --out docs/placements.md
"""
import argparse
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import mmaction
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from rich.progress import track

from dsts_mmaction.evaluation.cost import specialized_cost
from dsts_mmaction.tailor.placement import channels_at, described, placement
from dsts_mmaction.tailor.specialize import count_parameters, specialize_config
from dsts_mmaction.utils.configs import view_shape
from dsts_mmaction.utils.markdown import markdown_table, write_document

ROOT = Path(mmaction.__file__).parent / '.mim' / 'configs' / 'recognition'
HEADER = ['Family', 'Passed / all', 'The module specializes', 'Channels',
          'Parameters (M)', 'FLOPs (G)', 'of the plain model (%)',
          "UDL's features"]
INTRODUCTION = '''# Where the module goes

<!-- Made by tools/list_placements.py. -->

The place that `tools/specialize.py` finds for the configs of MMAction2, and
what the module adds with default options of `dsts`: parameters, and
multiplications with addition of a forward of one view of the config's own
frames and size, as executed. Where the module is behind a layer of the
backbone, Upstream-Downstream Learning computes the features a second time in
every iteration; elsewhere, it shares them with the ordinary step.

Passed: the specialized recognizer predicts what the plain one does while the
module is the identity, also by the config's own test settings; a sample alone
is predicted as in a batch; the classifier sees the module, and all its
parameters learn; an upstream step moves synapses and gates and nothing else;
one iteration of a Runner trains with UDL. On small inputs and 2 clips x 2
crops; one config of each family by `make test`, all of them (here with timm
1.0.31, torchvision 0.29.1 and mmpretrain 1.2.0) by

```shell
python -m pytest tests/test_adapters/test_families.py -m slow \\
  --junitxml work_dirs/families.xml
python tools/list_placements.py --results work_dirs/families.xml \\
  --out docs/placements.md
```

'''


class Row(NamedTuple):
    """What the table says of a config; those that agree share a line."""
    where: str
    channels: str
    parameters: str
    udl: str


def row(cfg: Config) -> Row:
    """Place and size of a config's module."""
    try:
        place = placement(cfg)
    except ValueError as error:
        return Row(str(error), '–', '–', '–')
    channels = channels_at(cfg, place)
    where, udl = described(place)
    return Row(where, ', '.join(map(str, channels)),
               f'{count_parameters({}, channels) / 1e6:.1f}', udl)


def cost(cfg: Config) -> tuple[float, float]:
    """GFLOPs of the DSTS modules and of the rest, for one view."""
    found = specialized_cost(specialize_config(cfg), view_shape(cfg))
    return found.executed_flops / 1e9, found.plain_flops / 1e9


def read_results(path: Path) -> dict[str, str | None]:
    """What became of each config's test.

    Returns:
        By the config's name: why it was skipped, '' if it passed, None if it
        failed.
    """
    results: dict[str, str | None] = {}
    for case in ElementTree.parse(path).iter('testcase'):
        name = case.get('name', '')
        if name.startswith(('test_all[', 'test_tsn_over[')):
            skipped = case.find('skipped')
            failed = case.find('failure') is not None or (
                case.find('error') is not None)
            results[name.partition('[')[2][:-1]] = (
                None if failed else
                '' if skipped is None else
                skipped.get('message', '').rpartition('Skipped: ')[2])
    return results


def configs() -> list[tuple[str, str, Config]]:
    """Family, name and config of all that the table is about."""
    paths = [path for family in sorted(ROOT.iterdir())
             for path in sorted(family.rglob('*.py'))]
    found = [(path.relative_to(ROOT).parts[0], path.stem,
              Config.fromfile(path)) for path in paths]
    for package in ('timm', 'torchvision'):
        cfg = next(cfg for family, _, cfg in found
                   if family == 'tsn' and cfg.model.backbone.type == 'ResNet')
        cfg = Config(cfg.to_dict())
        cfg.model.backbone = dict(type=f'{package}.resnet50')
        found.append((f'tsn over {package}', f'{package}.resnet50', cfg))
    return found


def spread(values: list[float], digits: int) -> str:
    """The range of some values, one number if they agree."""
    if not values:
        return '–'
    first, last = (f'{value:.{digits}f}'
                   for value in (min(values), max(values)))
    return first if first == last else f'{first} to {last}'


def table(results: dict[str, str | None]) -> str:
    """One line for each family and place, and why some were not tested."""
    lines: list[list[str]] = [HEADER]
    reasons: dict[str, int] = defaultdict(int)
    found: dict[tuple[str, Row], list[str]] = defaultdict(list)
    costs: dict[str, tuple[float, float]] = {}
    for family, name, cfg in track(configs(), 'Counting operations'):
        found[family, row(cfg)].append(name)
        if results.get(name) == '':  # the others may not even run
            costs[name] = cost(cfg)
    for (family, what), names in found.items():
        outcomes = [results.get(name, 'not run') for name in names]
        for outcome in outcomes:
            if outcome is None:
                outcome = 'because it fails'
            if outcome:
                reasons[outcome] += 1
        known = [costs[name] for name in names if name in costs]
        lines.append([
            family, f"{outcomes.count('')} / {len(names)}", what.where,
            what.channels, what.parameters,
            spread([added for added, _ in known], 1),
            spread([100 * added / plain for added, plain in known], 1),
            what.udl])
    note = ''.join(f'\nNot tested: {count}, {reason}.\n'
                   for reason, count in reasons.items())
    return markdown_table(lines) + note


def main() -> None:
    parser = argparse.ArgumentParser(
        description='List where DSTS goes in the configs of MMAction2, and '
        'what it adds.')
    parser.add_argument('--results', type=Path, required=True,
                        help='JUnit XML of the tests')
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    args = parser.parse_args()
    init_default_scope('mmaction')
    MMLogger.get_instance('mmaction', log_level='WARNING')
    torch.manual_seed(0)  # gates choose, and so what is executed
    write_document(INTRODUCTION + table(read_results(args.results)), args.out)


if __name__ == '__main__':
    main()
