import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from dsts_mmaction.tailor.schedules import max_epochs, stretch_schedule


def config(epochs, *schedulers):
    return Config(dict(train_cfg=dict(max_epochs=epochs),
                       param_scheduler=list(schedulers)))


def warm_up_and_cosine(epochs, warm_up, convert):
    return config(
        epochs,
        dict(type='LinearLR', start_factor=0.1, begin=0, end=warm_up,
             convert_to_iter_based=convert),
        dict(type='CosineAnnealingLR', T_max=epochs - warm_up, eta_min=0,
             begin=warm_up, end=epochs, convert_to_iter_based=convert))


def learning_rates(cfg, epoch_length):
    """Learning rate of every iteration, as MMEngine's runner steps it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.)
    wrapper = OptimWrapper(optimizer)
    schedulers = []
    for scheduler in copy.deepcopy(cfg.param_scheduler):
        kind = PARAM_SCHEDULERS.get(scheduler.pop('type'))
        if scheduler.pop('convert_to_iter_based', False):
            schedulers.append(kind.build_iter_from_epoch(
                wrapper, epoch_length=epoch_length, **scheduler))
        else:
            schedulers.append(kind(wrapper, **scheduler))
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        for _ in range(epoch_length):
            rates.append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            for s in schedulers:
                if not s.by_epoch:
                    s.step()
        for s in schedulers:
            if s.by_epoch:
                s.step()
    return rates


@given(st.integers(2, 20), st.integers(1, 20), st.integers(4, 9))
def test_converted_schedule_is_the_same_curve(old, new, epoch_length):
    cfg = warm_up_and_cosine(old, 1, True)
    stretched = stretch_schedule(cfg, new)
    rates = learning_rates(stretched, epoch_length)
    assert len(rates) == new * epoch_length
    assert rates[0] == pytest.approx(0.1)
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 0.51
    assert max_epochs(cfg) == old  # a copy was stretched


def test_stretched_curve_against_its_formula():
    # 8 epochs, 2 of warm-up, to 12: warm-up takes 3.
    rates = learning_rates(
        stretch_schedule(warm_up_and_cosine(8, 2, True), 12), 10)
    reference = learning_rates(warm_up_and_cosine(12, 3, True), 10)
    assert rates == pytest.approx(reference)
    by_epoch = stretch_schedule(warm_up_and_cosine(8, 2, False), 12)
    assert learning_rates(by_epoch, 1) == pytest.approx(
        learning_rates(warm_up_and_cosine(12, 3, False), 1))


@given(st.integers(2, 30), st.integers(1, 30), st.integers(1, 5))
def test_schedule_by_epoch_has_no_gap(old, new, warm_up):
    warm_up = min(warm_up, old - 1)
    first, second = stretch_schedule(
        warm_up_and_cosine(old, warm_up, False), new).param_scheduler
    for scheduler in (first, second):
        values = [scheduler[k] for k in ('begin', 'end')]
        assert all(isinstance(v, int) for v in values)
        assert values[0] < values[1]
    assert first.end == second.begin
    assert second.T_max >= 1
    if new >= old:
        assert second.end == new
        assert second.T_max == second.end - second.begin


def test_other_options():
    cfg = config(
        10, dict(type='MultiStepLR', milestones=[4, 8]),
        dict(type='StepLR', step_size=5),
        dict(type='LinearLR', by_epoch=False, begin=0, end=500))
    multi, step, linear = stretch_schedule(cfg, 5).param_scheduler
    assert multi.milestones == [2, 4]
    assert step.step_size == 2
    assert linear == cfg.param_scheduler[2]


def test_single_and_no_scheduler():
    cfg = config(4)
    cfg.param_scheduler = dict(type='MultiStepLR', milestones=[2])
    assert stretch_schedule(cfg, 8).param_scheduler[0].milestones == [4]
    cfg.pop('param_scheduler')
    assert stretch_schedule(cfg, 8).train_cfg.max_epochs == 8


def test_iterations_are_refused():
    with pytest.raises(ValueError, match='train_cfg.max_epochs must be set'):
        max_epochs(Config(dict(train_cfg=dict(max_iters=100))))
