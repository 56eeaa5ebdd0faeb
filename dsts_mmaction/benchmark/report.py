"""Tables and pictures of a benchmark, from its ``results.json``.

Spreads are sample standard deviations over seeds. Differences are paired by
seed and come with the intervals of
:class:`~dsts_mmaction.benchmark.statistics.PairedDifference`.
"""
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..utils.atomic import write_text
from ..utils.json_files import read_json
from ..utils.machine import PACKAGE
from ..utils.markdown import markdown_table
from . import plots
from .comparison import (
    ACCURACIES,
    Comparison,
    PairChange,
    changed_pairs,
    class_name,
    comparisons,
    title,
)
from .statistics import Interval, Run, measured, paired_difference, spread

FORMAT = 1
NUM_PAIRS = 15
# Key of a run, header of the column, unit, digits.
COSTS = (('parameters', 'Parameters (M)', 1e6, 2),
         ('flops', 'GFLOPs', 1e9, 2),
         ('seconds_per_iter', 'Training (s/iter)', 1, 3),
         ('peak_memory_mb', 'Peak memory (MB)', 1, 0))
NOT_MEASURED = 'n/a'

EXPLANATION = (
    'Accuracies are means ± sample standard deviations over seeds, in '
    'percent of the test clips; costs are medians. Differences are in '
    'points, paired by seed, with 95 % t-intervals over seeds, not corrected '
    'for how many there are.\n')
# Column of the differences that needs single clips.
BOOTSTRAP = 'Top-1, 95 % bootstrap over seeds and clips'


def read_results(path: str | Path,
                 keys: Sequence[str] = ('runs', )) -> dict[str, Any]:
    """A ``results.json``, or another file of the benchmark.

    Args:
        path: The file.
        keys: What it has to hold.

    Raises:
        ValueError: The file is something else.
    """
    results = read_json(path)
    if (not isinstance(results, dict) or results.get('format') != FORMAT
            or not set(keys) <= set(results)):
        raise ValueError(f'{path} must hold {" and ".join(keys)} of a '
                         f'benchmark, format {FORMAT}.')
    return results


def write_report(results: dict[str, Any], out_dir: str | Path) -> None:
    """Write ``results.md`` and its pictures.

    Args:
        results: Contents of ``results.json``; runs may be missing.
        out_dir: Directory for the files, made if needed.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    names = results.get('data_set', {}).get('class_names')
    protocol = dict(results.get('protocol') or {})
    protocol.pop('amp', None)  # a host may have it by itself
    parts = ['# Benchmark\n', provenance(dict(
        results, protocol=protocol, amp=_precision(results))), EXPLANATION]
    for comparison in comparisons(results['runs'], results.get('protocol')):
        parts += [f'## {comparison.host} on {comparison.data_set}\n',
                  *comparison_tables(comparison),
                  *_pairs_and_pictures(comparison, names, out_dir)]
    if results.get('failed'):
        rows = [['Failed run', 'Seed', 'Reason']] + [
            [_cell(f"{run['host']}, {run['variant']}"), str(run['seed']),
             _cell(run['reason'])] for run in results['failed']
        ]
        parts += ['## Failed\n', markdown_table(rows)]
    write_text(out_dir / 'results.md', '\n'.join(parts))


def _precision(results: dict[str, Any]) -> None | bool | str:
    """Whether runs trained with mixed precision, or which hosts' did."""
    found = {run['host']: run['amp'] for run in results['runs']
             if 'amp' in run}
    values = {*found.values()}
    if len(values) < 2:
        return next(iter(values), None)
    return 'only ' + ', '.join(host for host, amp in found.items() if amp)


def provenance(results: dict[str, Any]) -> str:
    """How and where results came about, as a Markdown list."""
    facts = {
        'Command': f"`{results['command']}`" if 'command' in results else '',
        'Date': results.get('date'),
        'Machine': _listed(results.get('machine')),
        'Data set': _listed(results.get('data_set')),
        'Protocol': _listed(results.get('protocol')),
        'Mixed precision': {True: 'yes', False: 'no'}.get(
            results.get('amp'), results.get('amp')),
        'Look-alike groups': _described(results.get('groups')),
    }
    return ''.join(f'- {name}: {fact}\n' for name, fact in facts.items()
                   if fact)


def comparison_tables(comparison: Comparison) -> list[str]:
    """Markdown of all variants, and of their differences."""
    variants = comparison.variants
    tables = [_variants_table(comparison)]
    if len(variants) == 1:
        return tables
    mains = comparison.mains
    if comparison.reference:
        tables += ['### Differences: variant minus '
                   f'{title(comparison.reference)}\n',
                   _differences_table(comparison, comparison.reference)]
        if len(variants) == 2:  # there is no other difference
            return tables
    elif not mains:
        mains = [comparison.main]
    # The other way round too: DSTS against each control.
    for main in mains:
        tables += [f'### Differences: {title(main)} minus variant\n',
                   _differences_table(comparison, main, minus=False)]
    return tables


def _variants_table(comparison: Comparison) -> str:
    accuracies = [key for key in ACCURACIES if _any_has(comparison, key)]
    costs = [cost for cost in COSTS if _any_has(comparison, cost[0])]
    rows = [['Variant', 'Name', 'Seeds',
             *(f'{ACCURACIES[key]} (%)' for key in accuracies),
             *(header for _, header, _, _ in costs)]]
    for name, runs in comparison.variants.items():
        rows.append([_cell(title(name)), f'`{_cell(name)}`', str(len(runs)),
                     *(_spread_text(runs, key) for key in accuracies),
                     *(_cost_text(runs, key, unit, digits)
                       for key, _, unit, digits in costs)])
    return markdown_table(rows)


def _differences_table(comparison: Comparison, fixed: str,
                       minus: bool = True) -> str:
    """Every variant minus the fixed one, or that minus each."""
    accuracies = [key for key in ACCURACIES if _any_has(comparison, key)]
    columns: list[list[str]] = []
    for name, runs in comparison.variants.items():
        if name == fixed:
            continue
        sides = runs, comparison.variants[fixed]
        found = {key: paired_difference(*(sides if minus else sides[::-1]),
                                        key) for key in accuracies}
        seeds = max((len(d.differences) for d in found.values() if d),
                    default=0)
        top1 = found.get('top1')
        columns.append([
            _cell(title(name)), str(seeds),
            *(NOT_MEASURED if d is None
              else f'{d.mean:+.2f}{_interval_text(d.interval)}'
              for d in found.values()),
            (_interval_text(top1.bootstrap).strip() if top1 else '')
            or NOT_MEASURED,
        ])
    header = ['Variant', 'Pairs', *(ACCURACIES[key] for key in accuracies),
              BOOTSTRAP]
    rows = [header, *columns]
    if all(row[-1] == NOT_MEASURED for row in columns):
        rows = [row[:-1] for row in rows]
    return markdown_table(rows)


def _pairs_and_pictures(comparison: Comparison,
                        names: Sequence[str] | None,
                        out_dir: Path) -> list[str]:
    """Markdown of the changed pairs and of the pictures it writes."""
    parts, pairs = [], []
    if comparison.reference and comparison.main:
        pairs = changed_pairs(comparison.variants[comparison.main],
                              comparison.variants[comparison.reference],
                              NUM_PAIRS)
        if pairs:
            parts += ['### Pairs of classes whose confusion changed most\n',
                      'Clips of either class taken for the other, per seed.\n',
                      _pairs_table(comparison, pairs, names)]
    for kind, figure in dict(
            accuracies=plots.draw_accuracies(comparison),
            curves=plots.draw_curves(comparison),
            confusions=plots.draw_confusions(comparison, names),
            pairs=plots.draw_changed_pairs(comparison, pairs, names)).items():
        if figure is not None:
            file = f'{comparison.stem}_{kind}.png'
            plots.save(figure, out_dir / file)
            parts.append(f'![{kind}]({file})\n')
    return parts


def _pairs_table(comparison: Comparison, pairs: Sequence[PairChange],
                 names: Sequence[str] | None) -> str:
    rows = [['Pair', title(comparison.reference), title(comparison.main),
             'Change']]
    for pair in pairs:
        rows.append([
            _cell(f'{class_name(names, pair.first)} / '
                  f'{class_name(names, pair.second)}'),
            f'{pair.before:.1f}', f'{pair.after:.1f}',
            f'{pair.after - pair.before:+.1f}'])
    return markdown_table(rows)


def _any_has(comparison: Comparison, key: str) -> bool:
    return any(measured(run, key) is not None
               for runs in comparison.variants.values() for run in runs)


def _spread_text(runs: Sequence[Run], key: str) -> str:
    found = spread(runs, key)
    if found is None:
        return NOT_MEASURED
    std = '' if found.std is None else f' ± {found.std:.2f}'
    return f'{found.mean:.2f}{std}'


def _cost_text(runs: Sequence[Run], key: str, unit: float,
               digits: int) -> str:
    values = [value for run in runs
              if (value := measured(run, key)) is not None]
    if not values:
        return NOT_MEASURED
    return f'{statistics.median(values) / unit:.{digits}f}'


def _interval_text(interval: Interval | None) -> str:
    return '' if interval is None else \
        f' ({interval[0]:+.2f} to {interval[1]:+.2f})'


def _listed(facts: dict[str, Any] | None) -> str:
    """Facts in a row; lists, such as class names, are left out."""
    texts = []
    for name, value in (facts or {}).items():
        if value in (None, {}) or isinstance(value, list):
            continue
        if isinstance(value, bool):
            value = 'yes' if value else 'no'
        elif isinstance(value, dict):
            value = ' '.join(f'{k}={v}' for k, v in value.items())
        label = name if name == PACKAGE else name.replace('_', ' ')
        texts.append(value if name == 'name' else f'{label} {value}')
    return ', '.join(texts)


def _described(groups: dict[str, Any] | None) -> str:
    if not groups or not groups['groups']:
        # Where there cannot be any, the source says why.
        source = (groups or {}).get('source') or ''
        return source if source.startswith('none: ') else ''
    classes = '; '.join(' '.join(map(str, group))
                        for group in groups['groups'])
    return f"{len(groups['groups'])}, from {groups['source']}: {classes}"


def _cell(text: str) -> str:
    """Text that does not end its cell."""
    return ' '.join(text.split()).replace('|', '\\|')
