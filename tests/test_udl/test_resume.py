"""Checkpoints: a resumed run goes on as if it had never stopped."""
import pytest
import torch

from dsts_mmaction.adapters.specialized import dsts_modules
from tests.runners import (
    RandomClips,
    SameStreams,
    hook_of,
    loader,
    logged,
    make_runner,
    same,
    state,
    upstream,
)

pytestmark = pytest.mark.usefixtures('one_thread')

LOGS = ('upstream_loss', 'upstream_lr', 'upstream_grad_norm',
        'upstream_skipped', 'dsts_usage_entropy_layer1',
        'dsts_largest_share_layer2')


def optimizer_state(optimizer):
    return {f'{i}.{n}': v for i, values in
            optimizer.state_dict()['state'].items()
            for n, v in values.items() if torch.is_tensor(v)}


def check_logs(whole, resumed):
    """The values after the checkpoint are the same in both."""
    assert logged(whole, 'loss') == logged(resumed, 'loss')
    for name in LOGS:
        values = logged(resumed, name)
        assert 0 < len(values) < len(logged(whole, name))
        assert values == logged(whole, name)[-len(values):], name


@pytest.mark.parametrize('options', [
    {},
    dict(held_out=loader(RandomClips(5, seed=4), 2, sampler=dict(
        type='DefaultSampler', shuffle=True))),
    dict(param_scheduler=dict(type='CosineAnnealingLR', by_epoch=False,
                              T_max=9, end=9)),
    dict(interval=2, start=1),
], ids=['split', 'loader', 'schedule', 'interval'])
def test_resumed_run_equals_the_uninterrupted_one(options, tmp_path):
    """Exactly, with the random streams of the main step, which MMEngine
    does not restore, seeded in every iteration."""

    def run(name, epochs, **kwargs):
        runner = make_runner(
            tmp_path / name, count=9, epochs=epochs, udl=options,
            hooks=[dict(type=SameStreams)], **kwargs)
        runner.train()
        return runner

    whole = run('whole', 3)
    run('parts', 2)
    resumed = run('parts', 3, resume=True)
    assert resumed.iter == whole.iter == 9
    assert same(state(whole), state(resumed))
    ours, theirs = (hook_of(r).learner.optimizer for r in (whole, resumed))
    assert optimizer_state(ours)
    assert same(optimizer_state(ours), optimizer_state(theirs))
    assert hook_of(whole).log.skipped == hook_of(resumed).log.skipped
    check_logs(whole, resumed)


def test_resumed_inside_an_epoch(tmp_path):
    """By iterations, as InfiniteSampler goes on; with EMA and AMP."""

    def run(name, iters, **kwargs):
        runner = make_runner(
            tmp_path / name, optim=dict(type='AmpOptimWrapper'),
            train_cfg=dict(by_epoch=False, max_iters=iters),
            param_scheduler=dict(
                type='LinearLR', start_factor=0.5, by_epoch=False, begin=0,
                end=4),
            train_dataloader=loader(RandomClips(8), sampler=dict(
                type='InfiniteSampler', shuffle=True)),
            hooks=[dict(type=SameStreams), dict(type='EMAHook')],
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(type='CheckpointHook', by_epoch=False,
                                interval=3)),
            log_processor=dict(by_epoch=False), **kwargs)
        runner.train()
        return runner

    whole = run('whole', 5)
    run('parts', 3)
    resumed = run('parts', 5, resume=True)
    assert same(state(whole), state(resumed))
    ema = [hook_of(r, 'EMAHook').ema_model.state_dict()
           for r in (whole, resumed)]
    assert same(*ema)
    check_logs(whole, resumed)


def group(runner):
    return next(g for g in runner.optim_wrapper.optimizer.param_groups
                if g.get('name') == 'dsts_upstream')


@pytest.mark.parametrize('optimizer', [
    None, dict(type='AdamW', lr=1e-3)], ids=['SGD', 'AdamW'])
def test_udl_goes_on_from_a_joint_run(optimizer, tmp_path, capsys):
    joint = make_runner(tmp_path, udl=False, optimizer=optimizer)
    joint.train()
    assert len(group(joint)['params']) == 6
    capsys.readouterr()

    runner = make_runner(tmp_path, optimizer=optimizer, epochs=2, resume=True)
    before_train, seen = hook_of(runner).before_train, []

    def look(runner):
        before_train(runner)
        seen.append((upstream(runner), optimizer_state(
            runner.optim_wrapper.optimizer)))

    hook_of(runner).before_train = look
    runner.train()
    out = capsys.readouterr().out
    assert out.count('The checkpoint is of a joint run') == 1
    assert 'starts afresh' in out
    (weights, main), = seen
    assert all(torch.equal(a, b) for a, b in zip(weights, upstream(joint)))
    # Momenta of the other parameters are there, each with its own.
    named = {id(p): n for n, p in joint.model.named_parameters()}
    old = {named[id(p)]: s for p, s in
           joint.optim_wrapper.optimizer.state.items()}
    named = {id(p): n for n, p in runner.model.named_parameters()}
    assert len(main) and {named[id(p)] for p in
                          runner.optim_wrapper.optimizer.state} == {
        n for n in old if 'synapse' not in n and 'gate' not in n}
    assert group(runner)['params'] == []
    assert runner.iter == 4
    first, *_ = logged(joint, 'lr')
    assert logged(runner, 'lr') == pytest.approx(
        [first, first * 4 / 3, first * 5 / 3, first * 2])


@pytest.mark.parametrize('optimizer', [
    None, dict(type='AdamW', lr=1e-3)], ids=['SGD', 'AdamW'])
def test_a_joint_run_goes_on_from_udl(optimizer, tmp_path, capsys):
    udl = make_runner(tmp_path, optimizer=optimizer)
    udl.train()
    runner = make_runner(
        tmp_path, udl=False, optimizer=optimizer, epochs=3, resume=True)
    capsys.readouterr()
    runner.train()
    out = capsys.readouterr().out
    assert out.count('The checkpoint is of a run with UpstreamDownstream') == 1
    assert len(group(runner)['params']) == 6
    assert 'train/upstream_loss' not in runner.message_hub.log_scalars
    # Their learning rate follows the schedule, and they move.
    # What neurons own learns 1/N as fast with AdamW.
    module, = dsts_modules(runner.model)
    own_mult = 1 if optimizer is None else 1 / module.num_neurons
    for each in runner.optim_wrapper.optimizer.param_groups:
        is_own = each.get('name') == 'dsts_own_kernels'
        assert each['lr'] == pytest.approx(
            group(runner)['lr'] * (own_mult if is_own else 1), rel=1e-12)
    assert group(runner)['lr'] == pytest.approx(
        0.01 if optimizer is None else 1e-3)
    assert all(not torch.equal(a, b)
               for a, b in zip(upstream(udl), upstream(runner)))


def test_loading_weights_starts_the_optimizer_afresh(tmp_path):
    first = make_runner(tmp_path / 'first', count=16)
    first.train()
    runner = make_runner(
        tmp_path / 'second', load_from=str(tmp_path / 'first/epoch_1.pth'))
    weights = []
    hook = hook_of(runner)
    before_train = hook.before_train

    def look(runner):
        before_train(runner)
        weights.append(upstream(runner))

    hook.before_train = look
    runner.train()
    assert all(torch.equal(a, b)
               for a, b in zip(weights[0], upstream(first)))
    steps = [s['step'].item() for s in hook.learner.optimizer.state.values()]
    assert set(steps) == {2}


def test_a_plain_checkpoint_of_another_kind_is_not_converted(tmp_path):
    """Optimizers that differ in more than the group still say so."""
    make_runner(tmp_path, udl=False, optim=dict(
        paramwise_cfg=dict(norm_decay_mult=0.0))).train()
    runner = make_runner(tmp_path, epochs=2, resume=True, random=False)
    module = next(dsts_modules(runner.model))
    module.readout.linear.weight.requires_grad_(False)
    with pytest.raises(ValueError, match='parameter group'):
        runner.train()


@pytest.mark.parametrize('options, lr', [
    (dict(optimizer=dict(type='SGD', lr=0.2, momentum=0.9)), [0.2 * 5 / 6]),
    (dict(optimizer=dict(type='AdamW', lr=0.2),
          param_scheduler=dict(type='ConstantLR', factor=0.5)), [0.1])])
def test_another_optimizer_or_schedule_starts_afresh(options, lr, tmp_path,
                                                     capsys):
    make_runner(tmp_path).train()
    capsys.readouterr()
    runner = make_runner(tmp_path, udl=options, epochs=2, resume=True)
    runner.train()
    out = capsys.readouterr().out
    assert out.count('the upstream optimizer and its schedule start') == 1
    assert 'is not defined in message_hub' not in out
    assert logged(runner, 'upstream_lr')[0] == pytest.approx(lr[0])


def test_a_resumed_run_follows_the_learning_rate_that_it_resumes(tmp_path):
    """Not that of its own config, which the checkpoint's replaces."""
    options = dict(param_scheduler=None)
    make_runner(tmp_path, **options).train()
    runner = make_runner(tmp_path, epochs=2, resume=True, optimizer=dict(
        type='SGD', lr=0.02, momentum=0.9), **options)
    runner.train()
    assert group(runner)['lr'] == group(runner)['configured_lr'] == 0.01
    assert logged(runner, 'upstream_lr') == pytest.approx([0.01] * 2)


def test_resumed_with_fewer_held_out_batches(tmp_path):
    held_out = [loader(RandomClips(count), 2) for count in (6, 2)]
    make_runner(tmp_path, udl=dict(held_out=held_out[0])).train()
    runner = make_runner(tmp_path, udl=dict(held_out=held_out[1]), epochs=2,
                         resume=True)
    runner.train()
    assert runner.iter == 4
    assert hook_of(runner)._loader.state_dict() == dict(epoch=2, position=1)
