"""Reports of results that never were, and of some that lack things."""
import re

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from scipy import stats

from dsts_mmaction.benchmark import plots
from dsts_mmaction.benchmark.comparison import changed_pairs, comparisons
from dsts_mmaction.benchmark.published import (
    merge,
    published_markdown,
    read_published,
    write_published,
)
from dsts_mmaction.benchmark.report import read_results, write_report
from tests.test_benchmark.fake_results import fake_results

PICTURES = {f'tsm_r18_gestures_{kind}.png'
            for kind in ('accuracies', 'curves', 'confusions', 'pairs')}


def read_tables(text):
    """Rows of every table of a Markdown text, header first."""
    blocks = re.findall(r'(?:^\|.*\n)+', text, flags=re.M)
    return [[[cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]
             for i, line in enumerate(block.splitlines()) if i != 1]
            for block in blocks]


def values(results, variant, key='top1'):
    return [run[key] for run in results['runs'] if run['variant'] == variant]


def test_report_holds_the_numbers(tmp_path):
    results = fake_results(seeds=4)
    results['protocol']['cfg_options'] = {'model.depth': 18}
    write_report(results, tmp_path / 'out')
    assert {p.name for p in (tmp_path / 'out').iterdir()} == \
        {'results.md', *PICTURES}
    text = (tmp_path / 'out' / 'results.md').read_text()
    for name in PICTURES:
        assert f']({name})' in text
        assert (tmp_path / 'out' / name).read_bytes()[1:4] == b'PNG'
    assert f"`{results['command']}`" in text and 'warm start yes' in text
    assert 'cfg options model.depth=18' in text
    variants, plain, main, udl, pairs, failed = read_tables(text)

    assert [row[1] for row in variants[1:]] == [
        '`baseline`', '`baseline_extra`', '`control_compute`',
        '`dsts_joint`', '`dsts_udl2`']
    top1 = values(results, 'dsts_joint')
    assert variants[-2][2:4] == [
        '4', f'{np.mean(top1):.2f} ± {np.std(top1, ddof=1):.2f}']
    assert variants[-2][-4:] == ['11.19', '1.20', '0.440', '900']

    test = stats.ttest_rel(top1, values(results, 'baseline_extra'))
    low, high = test.confidence_interval(0.95)
    mean = np.mean(top1) - np.mean(values(results, 'baseline_extra'))
    expected = f'{mean:+.2f} ({low:+.2f} to {high:+.2f})'
    assert plain[-2][:3] == ['DSTS, joint', '4', expected]
    assert main[2][:3] == ['plain, extra budget', '4', expected]
    assert udl[0] == main[0] and udl[2][2:] == plain[-1][2:]
    assert plain[-2][-1] == main[2][-1]  # the bootstrap, either way
    assert len(pairs) == 14  # of 15, as two did not change
    assert failed[1] == ['tsm_r18, dsts_udl1', '0', r'the loss \| was NaN']


def test_order_of_finishing_does_not_matter(tmp_path):
    results = fake_results(variants=['dsts_udl2', 'baseline'])
    write_report(results, tmp_path / 'a')
    results['runs'].reverse()
    write_report(results, tmp_path / 'b')
    assert (tmp_path / 'a' / 'results.md').read_text() == \
        (tmp_path / 'b' / 'results.md').read_text()


def test_little_to_report(tmp_path):
    results = fake_results(seeds=1, variants=['dsts_joint', 'mine'])
    for run in results['runs']:
        del run['confusion'], run['curve'], run['correct']
        run.update(within_group=None, peak_memory_mb=None)
    results.update(failed=[], groups=dict(source=None, groups=[]))
    write_report(results, tmp_path)
    text = (tmp_path / 'results.md').read_text()
    assert 'Within' not in text and 'MB' not in text and 'groups' not in text
    variants, differences = read_tables(text)
    (top1, ) = values(results, 'mine')
    gain = values(results, 'dsts_joint')[0] - top1
    assert differences[1][:3] == ['mine', '1', f'{gain:+.2f}']
    assert variants[-1][:4] == ['mine', '`mine`', '1', f'{top1:.2f}']
    assert {p.name for p in tmp_path.iterdir()} == {
        'results.md', 'tsm_r18_gestures_accuracies.png'}


def test_nothing_to_report(tmp_path):
    write_report(fake_results(seeds=0), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ['results.md']


def test_unmeasured_memory_leaves_a_gap(tmp_path):
    results = fake_results(seeds=1, variants=['baseline', 'dsts_joint'])
    results['runs'][0]['peak_memory_mb'] = None
    write_report(results, tmp_path)
    variants = read_tables((tmp_path / 'results.md').read_text())[0]
    assert [row[-1] for row in variants[1:]] == ['n/a', '900']


@pytest.mark.parametrize('warm_start, reference', [
    (True, 'plain, extra budget'), (False, 'plain')])
def test_reference_has_the_budget_of_the_others(tmp_path, warm_start,
                                                reference):
    results = fake_results()
    results['protocol']['warm_start'] = warm_start
    write_report(results, tmp_path)
    assert f'### Differences: variant minus {reference}\n' in (
        tmp_path / 'results.md').read_text()
    published = merge(read_published('none.json'), results)
    write_published(published, tmp_path / 'published.json')
    assert f'variant minus {reference}\n' in published_markdown(
        tmp_path / 'published.json')


@pytest.mark.parametrize('variants, reference, main', [
    (('control_compute', 'dsts_joint'), 'unspecialized, same compute',
     'DSTS, joint'),
    (('baseline', 'control_compute'), 'plain', 'unspecialized, same compute'),
    (('baseline', 'baseline_extra', 'control_compute', 'mine'),
     'plain, extra budget', 'mine'),
])
def test_something_is_compared(tmp_path, variants, reference, main):
    """Without a plain recognizer, or without DSTS."""
    write_report(fake_results(variants=variants), tmp_path)
    text = (tmp_path / 'results.md').read_text()
    assert f'### Differences: variant minus {reference}\n' in text
    pairs = next(table for table in read_tables(text)
                 if table[0][0] == 'Pair')
    assert pairs[0] == ['Pair', reference, main, 'Change']
    assert {path.name for path in tmp_path.iterdir()} == {
        'results.md', *PICTURES}


def test_own_variants_alone_are_compared(tmp_path):
    write_report(fake_results(variants=('mine', 'no_gates')), tmp_path)
    assert '### Differences: no gates minus variant\n' in (
        tmp_path / 'results.md').read_text()


@pytest.mark.parametrize('amp, expected', [
    (dict(a=True, b=True), 'yes'), (dict(a=False, b=False), 'no'),
    (dict(a=False, b=True), 'only b')])
def test_precision_is_that_of_the_runs(tmp_path, amp, expected):
    results = fake_results(seeds=1, variants=['baseline'], hosts=('a', 'b'))
    results['protocol']['amp'] = False
    for run in results['runs']:
        run['amp'] = amp[run['host']]
    write_report(results, tmp_path)
    text = (tmp_path / 'results.md').read_text()
    assert f'- Mixed precision: {expected}\n' in text
    assert 'amp no' not in text


def test_one_section_per_host(tmp_path):
    write_report(fake_results(variants=['baseline', 'dsts_joint'],
                              hosts=('b', 'a')), tmp_path)
    text = (tmp_path / 'results.md').read_text()
    assert re.findall('^## (.*)', text, flags=re.M) == [
        'a on gestures', 'b on gestures', 'Failed']
    assert len(list(tmp_path.glob('*.png'))) == 8


def test_changed_pairs_by_hand():
    def run(seed, confusion):
        return dict(seed=seed, confusion=confusion)

    before = [run(0, [[5, 4, 0], [2, 5, 1], [0, 0, 9]]),
              run(1, [[5, 2, 0], [0, 5, 0], [2, 0, 9]]),
              run(2, [[0, 99, 0], [0, 0, 0], [0, 0, 0]])]  # without a pair
    after = [run(1, [[5, 1, 0], [0, 5, 3], [0, 2, 9]]),
             run(0, [[5, 1, 1], [0, 5, 1], [1, 0, 9]])]
    found = changed_pairs(after, before, 5)
    assert found == [(0, 1, 4.0, 1.0), (1, 2, 0.5, 3.0)]
    assert changed_pairs(after, before, 1) == found[:1]
    assert changed_pairs(after, before[2:], 5) == []


def test_pictures_show_every_variant_and_seed():
    (comparison, ) = comparisons(fake_results(seeds=3)['runs'])
    figure = plots.draw_accuracies(comparison)
    assert [axes.get_xlabel().split(' (')[0] for axes in figure.axes] == [
        'Top-1', 'Mean class', 'Within group']
    dots = [c for c in figure.axes[0].collections
            if isinstance(c, PathCollection)]
    shown = sorted(x for c in dots for x, _ in c.get_offsets())
    assert shown == pytest.approx(sorted(
        run['top1'] for runs in comparison.variants.values() for run in runs))

    figure = plots.draw_curves(comparison)
    labels = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert labels == ['plain, extra budget', 'unspecialized, same compute',
                      'DSTS, joint', 'DSTS, UDL of order 2']
    line = figure.axes[0].get_lines()[0]
    curves = [[point['loss'] for point in run['curve']]
              for run in comparison.variants['baseline_extra']]
    assert line.get_ydata() == pytest.approx(np.mean(curves, axis=0))

    before, after, change = [
        np.asarray(axes.images[0].get_array())
        for axes in plots.draw_confusions(comparison, None).axes[:3]]
    np.testing.assert_allclose(before.sum(axis=1), 100)
    np.testing.assert_allclose(change, after - before)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / 'results.json'
    for text, message in [('{', 'results.json is not JSON'),
                          ('[]', 'must hold runs of a benchmark, format 1'),
                          ('{"format": 2, "runs": []}', 'must hold runs'),
                          ('{"format": 1}', 'must hold runs')]:
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_results(path)
