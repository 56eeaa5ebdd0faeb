"""Spreads and intervals against scipy and against what they promise."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dsts_mmaction.benchmark.statistics import (
    bootstrap_interval,
    paired_difference,
    spread,
    t_interval,
)

numbers = st.floats(0, 100)


def runs_of(metric, values):
    return [{'seed': i, metric: value} for i, value in enumerate(values)]


@settings(deadline=None)
@given(st.lists(numbers, min_size=2, max_size=8))
def test_spread_is_the_sample_one(values):
    mean, std, count = spread(runs_of('top1', values), 'top1')
    assert mean == pytest.approx(np.mean(values))
    assert std == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert count == len(values)


def test_spread_of_few():
    assert spread([], 'top1') is None
    runs = runs_of('top1', [None, 3.0, float('nan')])
    assert spread(runs, 'top1') == (3.0, None, 1)
    assert spread(runs, 'within_group') is None


@settings(deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=8))
def test_paired_interval_is_that_of_the_paired_t_test(pairs):
    ours, theirs = zip(*pairs)
    found = paired_difference(runs_of('top1', ours)[::-1],
                              runs_of('top1', theirs), 'top1')
    assert found.bootstrap is None
    assert list(found.differences.values()) == pytest.approx(
        [a - b for a, b in pairs])
    assert found.mean == pytest.approx(np.mean(ours) - np.mean(theirs),
                                       abs=1e-9)
    if np.std(np.subtract(ours, theirs)) > 1e-6:
        expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
        assert found.interval == pytest.approx(tuple(expected), abs=1e-6)


def test_only_common_seeds_are_paired():
    ours = [dict(seed=s, top1=10.0 * s) for s in (3, 1, 7)]
    theirs = [dict(seed=s, top1=1.0) for s in (1, 2, 3)]
    found = paired_difference(ours, theirs, 'top1')
    assert found.differences == {1: 9.0, 3: 29.0}
    assert found.mean == 19.0
    assert paired_difference(ours, theirs[1:2], 'top1') is None
    single = paired_difference(ours, theirs[:1], 'top1')
    assert single == ({1: 9.0}, 9.0, None, None)


def test_t_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(5)
    draws = rng.normal(2.0, 3.0, size=(2000, 4))
    intervals = [t_interval(row.tolist(), 0.9) for row in draws]
    covered = np.mean([low < 2.0 < high for low, high in intervals])
    assert 0.87 < covered < 0.93


def random_correct(rng, rates):
    return [''.join('01'[int(hit)] for hit in rng.random(300) < rate)
            for rate in rates]


def test_bootstrap_of_runs():
    rng = np.random.default_rng(1)
    ours, theirs = ([
        dict(seed=i, top1=100 * c.count('1') / len(c), correct=c)
        for i, c in enumerate(random_correct(rng, rates))
    ] for rates in ([.80, .85, .9], [.6, .55, .5]))
    found = paired_difference(ours, theirs, 'top1')
    low, high = found.bootstrap
    assert 10 < low < found.mean < high < 50
    theirs[1]['correct'] = theirs[1]['correct'][:-1]  # other clips
    assert paired_difference(ours, theirs, 'top1').bootstrap is None


def test_bootstrap_draws_seeds_and_clips():
    rng = np.random.default_rng(2)
    seeds = rng.normal(size=(30, 1))
    clips = rng.normal(size=(1, 400))
    for values, expected in [
        (seeds + np.zeros((1, 400)), seeds.std() / 30**.5),
        (np.zeros((30, 1)) + clips, clips.std() / 400**.5),
        (seeds + clips, (seeds.var() / 30 + clips.var() / 400)**.5),
    ]:
        low, high = bootstrap_interval(values)
        assert low < values.mean() < high
        assert (high - low) / (2 * 1.96) == pytest.approx(expected, rel=.1)
