import time

import pytest

from dsts_mmaction.utils import measure_ratio


def test_ratio_of_sleeps():
    calls = []

    def sleep(name, seconds):
        calls.append(name)
        time.sleep(seconds)

    ratio = measure_ratio(lambda: sleep('a', 0.06), lambda: sleep('b', 0.02),
                          rounds=5, warmup=1)
    assert calls == ['a', 'b'] * 6  # in turn, and the warm-up was run
    assert 1.5 < ratio.value < 4.5
    assert ratio.spread[0] <= ratio.value <= ratio.spread[1]
    assert ratio.sides[0] > 0.055 and ratio.sides[1] > 0.015
    assert ratio.unit == 's'


def test_too_few_rounds():
    with pytest.raises(ValueError, match='rounds must be 2 or more, got 1'):
        measure_ratio(lambda: 0, lambda: 0, rounds=1)
