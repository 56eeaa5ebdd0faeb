import os
from functools import partial

import pytest
import torch

from dsts_mmaction.utils import memory
from dsts_mmaction.utils.memory import (
    in_new_process,
    measure_memory_ratio,
    memory_growth,
)

MIB = 2**20
on_cpu = pytest.mark.skipif(
    torch.cuda.is_available(), reason='measures resident memory')


def growth_after_a_peak():
    torch.ones(50 * MIB)
    return memory_growth(partial(torch.ones, 20 * MIB))


def test_ratio_of_bytes():
    ratio = measure_memory_ratio(partial(int, 3 * 2**30),
                                 partial(int, 2 * 2**30))
    assert ratio == (1.5, (1.5, 1.5), (3.0, 2.0), 'GiB')


def test_too_few_rounds():
    with pytest.raises(ValueError, match='rounds must be 2 or more, got 1'):
        measure_memory_ratio(int, int, rounds=1)


def test_new_process():
    assert in_new_process(os.getpid) not in (os.getpid(), os.getppid())


@on_cpu
def test_growth_of_a_tensor():
    growth = in_new_process(
        partial(memory_growth, partial(torch.ones, 25 * MIB)))
    assert 95 * MIB < growth < 150 * MIB


@on_cpu
@pytest.mark.skipif(not os.access('/proc/self/clear_refs', os.W_OK),
                    reason='the peak cannot be reset')
def test_earlier_peaks_do_not_count():
    # In a process that has no freed memory to give out again.
    growth = in_new_process(growth_after_a_peak)
    assert 75 * MIB < growth < 120 * MIB


@on_cpu
def test_without_proc(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, 'PROCESS', tmp_path)
    assert 0 <= memory_growth(lambda: None) < 50 * MIB
