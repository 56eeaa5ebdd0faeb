"""UpstreamDownstreamHook under a real Runner."""
import copy
import random

import numpy as np
import pytest
import torch
from mmaction.models.recognizers import RecognizerOmni
from mmengine.optim import OptimWrapperDict
from torch.utils.data import ConcatDataset, Subset

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.udl import checks
from tests.builders import slowonly, specialize, tsm
from tests.runners import (
    MODELS,
    RandomClips,
    hook_of,
    loader,
    logged,
    make_runner,
    same,
    state,
    upstream,
)

pytestmark = pytest.mark.usefixtures('one_thread')


def upstream_names(model):
    ids = {id(p) for m in dsts_modules(model)
           for p in m.upstream_parameters()}
    return {n for n, p in model.named_parameters() if id(p) in ids}


# ------------------------------------------------- one forward, no trace


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize('optim', [
    {}, dict(type='AmpOptimWrapper', dtype='bfloat16'),
    dict(accumulative_counts=2)
], ids=['fp32', 'bf16', 'accumulation'])
def test_one_backbone_forward_per_iteration(name, optim, tmp_path):
    # Some CPUs emulate bfloat16, which takes long.
    iterations = 2 if 'dtype' in optim else 4
    runner = make_runner(tmp_path, MODELS[name](), count=4 * iterations,
                         optim=optim)
    calls = []
    runner.model.backbone.register_forward_hook(
        lambda *args: calls.append(runner.iter))
    before = upstream(runner)
    runner.train()
    assert calls == list(range(iterations))
    assert len(logged(runner, 'upstream_loss')) == iterations
    # On the CPU, in bfloat16, conv3d's weight gradient has random NaNs for
    # maps as small as these (torch 2.13, plain SlowFast too).
    skipped = int(logged(runner, 'upstream_skipped')[-1])
    assert skipped == 0 or 'dtype' in optim and name != 'tsm'
    taken = iterations // optim.get('accumulative_counts', 1)
    assert len(logged(runner, 'upstream_skipped')) == taken
    assert skipped or all(not torch.equal(a, b)
                          for a, b in zip(before, upstream(runner)))
    assert runner.model.backbone.training


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize('held_out', ['split', 'loader'])
@pytest.mark.parametrize('order', [1, 2])
def test_upstream_step_leaves_no_trace(name, held_out, order, tmp_path):
    """Only upstream parameters differ around steps 1 and 2, bit by bit."""
    model = MODELS[name]()
    if held_out == 'loader':
        shape = (8, 3, 16, 16) if name == 'tsm' else (1, 3, 8, 16, 16)
        held_out = loader(RandomClips(6, shape, seed=5), batch_size=3)
    runner = make_runner(
        tmp_path, model, dict(order=order, held_out=held_out),
        optim=dict(accumulative_counts=2))
    hook = hook_of(runner)
    names = upstream_names(runner.model)
    befores, seen = [], []

    def look():
        wrapper = runner.optim_wrapper
        return (state(runner),
                {n: None if p.grad is None else p.grad.clone()
                 for n, p in runner.model.named_parameters()},
                torch.get_rng_state(), np.random.get_state()[1].tolist(),
                random.getstate(), wrapper._inner_count,
                copy.deepcopy(wrapper.optimizer.state_dict()))

    hook.before_steps.append(lambda samples: befores.append(look()))
    hook.after_steps.append(
        lambda result: seen.append((befores[-1], look())))
    runner.train()
    assert len(seen) == 2
    for i, (before, after) in enumerate(seen):
        moved = {n for n in before[0]
                 if not torch.equal(before[0][n], after[0][n])}
        assert moved == (names if i == 1 else set())
        for n, grad in before[1].items():
            other = after[1][n]
            assert (grad is None) == (other is None)
            # Gradients of the first iteration are there, but for these.
            assert (grad is None) == (i == 0 or n in names)
            assert grad is None or torch.equal(grad, other)
        assert torch.equal(before[2], after[2])
        assert before[3:6] == after[3:6]
        for a, b in zip(before[6]['param_groups'], after[6]['param_groups']):
            assert a == b


def test_main_step_draws_the_same_with_and_without_the_hook(tmp_path):
    """An upstream step of no size changes nothing in the ordinary run."""
    model = specialize(tsm())
    model['cls_head']['head']['dropout_ratio'] = 0.5
    runs = []
    for i, udl in enumerate([dict(start=1000), dict(
            optimizer=dict(type='SGD', lr=1e-30))]):
        runner = make_runner(tmp_path / str(i), model, udl, count=10)
        runner.train()
        runs.append((state(runner), logged(runner, 'loss'),
                     torch.get_rng_state()))
    assert same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert torch.equal(runs[0][2], runs[1][2])


# ----------------------------------------------- who trains what, and when


def test_every_parameter_is_in_exactly_one_optimizer(tmp_path):
    runner = make_runner(tmp_path)
    runner.train()
    main = [p for g in runner.optim_wrapper.optimizer.param_groups
            for p in g['params']]
    own = [p for g in hook_of(runner).learner.optimizer.param_groups
           for p in g['params']]
    assert sorted(map(id, main + own)) == sorted(
        id(p) for p in runner.model.parameters() if p.requires_grad)
    assert {id(p) for p in own} == {
        id(p) for m in dsts_modules(runner.model)
        for p in m.upstream_parameters()}


@pytest.mark.parametrize('optimizer', [
    dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=0.1),
    dict(type='AdamW', lr=1e-3, weight_decay=0.1)
], ids=['SGD', 'AdamW'])
def test_upstream_moves_in_step_2_only_and_downstream_in_step_3(
        optimizer, tmp_path):
    """Under momentum, weight decay and clipping of both sides."""
    runner = make_runner(
        tmp_path, optimizer=optimizer, count=24,
        udl=dict(start=2, interval=2, clip_grad=dict(max_norm=1e-3),
                 optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.1)),
        optim=dict(clip_grad=dict(max_norm=1.0)))
    names = upstream_names(runner.model)
    hook, moved = hook_of(runner), []
    before = []

    def note(label):
        after = state(runner)
        moved.append((runner.iter, label, {
            n for n, _ in runner.model.named_parameters()
            if not torch.equal(before[-1][n], after[n])}))

    hook.before_steps.append(lambda samples: before.append(state(runner)))
    hook.after_steps.append(lambda result: note('upstream'))
    before_train = hook.before_train

    def install(runner):
        before_train(runner)
        update = runner.optim_wrapper.update_params

        def watched(*args, **kwargs):
            before.append(state(runner))
            update(*args, **kwargs)
            note('downstream')

        runner.optim_wrapper.update_params = watched

    hook.before_train = install
    runner.train()
    others = {n for n, p in runner.model.named_parameters()} - names
    assert [(i, label) for i, label, _ in moved] == [
        (0, 'downstream'), (1, 'downstream'), (2, 'upstream'),
        (2, 'downstream'), (3, 'downstream'), (4, 'upstream'),
        (4, 'downstream'), (5, 'downstream')]
    for _, label, which in moved:
        assert which == (names if label == 'upstream' else others)
    assert all(p.grad is None for m in dsts_modules(runner.model)
               for p in m.upstream_parameters())


def test_accumulation_averages_the_hyper_gradients(tmp_path):
    runner = make_runner(tmp_path, count=16,
                         optim=dict(accumulative_counts=2))
    results = []
    hook_of(runner).after_steps.append(results.append)
    runner.train()
    gradients = [result.evaluation.gradient for result in results]
    steps = [(i, result.step) for i, result in enumerate(results)
             if result.step]
    assert [i for i, _ in steps] == [1, 3]
    for (_, step), pair in zip(steps, (gradients[:2], gradients[2:])):
        mean = (pair[0] + pair[1]) / 2
        assert step.grad_norm == pytest.approx(mean.norm().item(), rel=1e-5)


# --------------------------------------------------------- learning rates


def test_upstream_learning_rate_follows_the_main_one(tmp_path):
    runner = make_runner(tmp_path, count=24, optim=dict(
        paramwise_cfg=dict(dsts=dict(lr_mult=3.0))))
    runner.train()
    factors = [0.5, 0.5 + 0.5 / 3, 0.5 + 1 / 3, 1.0, 1.0, 1.0]
    assert logged(runner, 'upstream_lr') == pytest.approx(
        [0.01 * f for f in factors])


def test_auto_scale_lr_scales_the_upstream_one_too(tmp_path):
    runner = make_runner(
        tmp_path, param_scheduler=None,
        auto_scale_lr=dict(enable=True, base_batch_size=16))
    runner.train()
    assert logged(runner, 'upstream_lr') == pytest.approx([0.01 / 4] * 2)
    assert logged(runner, 'lr') == pytest.approx([0.01 / 4] * 2)


@pytest.mark.parametrize('by_epoch', [True, False])
def test_own_schedule(by_epoch, tmp_path):
    runner = make_runner(
        tmp_path, epochs=2, count=8, udl=dict(param_scheduler=dict(
            type='MultiStepLR', milestones=[1], gamma=0.1,
            by_epoch=by_epoch)))
    runner.train()
    expected = [0.01, 0.01, 1e-3, 1e-3] if by_epoch else [0.01] + [1e-3] * 3
    assert logged(runner, 'upstream_lr') == pytest.approx(expected)


@pytest.mark.parametrize('inner_lr, main, expected', [
    ('auto', 1.0, [0.5, 1.0]), ('auto', 1e-4, [0.3] * 2),
    (0.02, 0.5, [0.02] * 2)])
def test_inner_learning_rate(inner_lr, main, expected, tmp_path):
    runner = make_runner(
        tmp_path, udl=dict(inner_lr=inner_lr),
        optimizer=dict(type='SGD', lr=main),
        param_scheduler=dict(type='LinearLR', start_factor=0.5, end=2,
                             by_epoch=False, begin=0))
    used = []
    hook_of(runner).after_steps.append(
        lambda result: used.append(result.inner_lr))
    runner.train()
    assert used == pytest.approx(expected)


def test_upstream_parameters_do_not_decay_unless_asked(tmp_path):
    for decay in ({}, dict(weight_decay=0.3)):
        runner = make_runner(tmp_path, udl=dict(
            optimizer=dict(type='AdamW', lr=1e-3, **decay)))
        runner.train()
        group, = hook_of(runner).learner.optimizer.param_groups
        assert group['weight_decay'] == decay.get('weight_decay', 0.0)


@pytest.mark.parametrize('clip, bound', [
    (dict(max_norm=1e-3), 1e-3), (dict(max_norm=1e-3, norm_type=1), 1e-3),
    (dict(type='value', clip_value=1e-6), 1e-6)])
def test_clipping(clip, bound, tmp_path):
    runner = make_runner(tmp_path, udl=dict(
        clip_grad=clip, optimizer=dict(type='SGD', lr=1.0)),
        param_scheduler=None)
    hook, gradients = hook_of(runner), []
    before_train = hook.before_train

    def install(runner):
        before_train(runner)
        hook.learner.optimizer.register_step_pre_hook(
            lambda optimizer, *args: gradients.append(torch.cat([
                p.grad.flatten()
                for p in optimizer.param_groups[0]['params']])))

    hook.before_train = install
    runner.train()
    for gradient in gradients:
        if clip.get('type') == 'value':
            size = gradient.abs().max()
        else:
            size = gradient.norm(clip.get('norm_type', 2))
        assert size.item() == pytest.approx(bound, rel=1e-3)
    assert min(logged(runner, 'upstream_grad_norm')) > bound


# ------------------------------------------------------- what is held out


def parts_seen(runner):
    """Labels of the samples of either step, in every iteration."""
    seen = []
    hook_of(runner).after_steps.append(lambda result: seen.append(
        [[s.gt_label.tolist() for s in part.data_samples]
         for part in result.parts] if result.evaluation else None))
    runner.train()
    seen = [labels for labels in seen if labels is not None]
    return seen


def test_halves_and_a_partial_last_batch(tmp_path):
    runner = make_runner(tmp_path, count=9, batch_size=5)
    seen = parts_seen(runner)
    assert seen == [[[[0], [1]], [[2], [3], [4]]],
                    [[[0], [1]], [[2], [3]]]]


def test_a_last_batch_of_one_sample_is_skipped_and_counted(
        tmp_path, capsys):
    # A map of 2x2 is left of 16x16, so batch norm takes a single sample.
    runner = make_runner(tmp_path, count=9, epochs=2)
    before = upstream(runner)
    seen = parts_seen(runner)
    assert [len(a) for a, _ in seen] == [2, 2, 2, 2]
    assert logged(runner, 'upstream_skipped') == [0, 0, 1, 1, 1, 2]
    assert all(not torch.equal(a, b)
               for a, b in zip(before, upstream(runner)))
    assert hook_of(runner).log.skipped == dict(non_finite=0, too_few_samples=2)
    out = capsys.readouterr().out
    assert out.count('an upstream step was skipped (too few samples)') == 1


@pytest.mark.parametrize('wrap', [
    lambda dataset: dataset, lambda dataset: Subset(dataset, range(3)),
    lambda dataset: ConcatDataset([dataset])])
def test_repeats_of_a_video_stay_in_one_half(wrap, tmp_path):
    class Repeated(RandomClips):
        num_repeats = 3

        def __getitem__(self, index):
            return [super(Repeated, self).__getitem__(index)
                    for _ in range(self.num_repeats)]

    runner = make_runner(tmp_path, train_dataloader=loader(
        wrap(Repeated(3)), 3,
        collate_fn=dict(type='repeat_pseudo_collate')))
    seen = parts_seen(runner)
    assert seen == [[[[0]] * 3, [[1]] * 3 + [[2]] * 3]]


def test_held_out_loader(tmp_path):
    """Its own samples, epoch after epoch, shuffled anew in each."""
    held_out = loader(RandomClips(5, seed=3), 2, sampler=dict(
        type='DefaultSampler', shuffle=True))
    runner = make_runner(tmp_path, count=12, epochs=2,
                         udl=dict(held_out=held_out))
    seen = parts_seen(runner)
    assert [[len(part) for part in parts] for parts in seen] == [
        [4, 2], [4, 2], [4, 1], [4, 2], [4, 2], [4, 1]]
    drawn = [[s[0] for parts in epoch for s in parts[1]]
             for epoch in (seen[:3], seen[3:])]
    assert sorted(drawn[0]) == sorted(drawn[1]) == [0, 1, 2, 3, 4]
    hook = hook_of(runner)
    assert hook._loader.loader.sampler.epoch == 1


def test_held_out_loader_allows_batches_of_one(tmp_path):
    runner = make_runner(
        tmp_path, batch_size=1, count=2,
        udl=dict(held_out=loader(RandomClips(4), 2)))
    assert len(parts_seen(runner)) == 2


def test_blending_warns_once(tmp_path, capsys):
    model = specialize(tsm())
    model['data_preprocessor']['blending'] = dict(
        type='MixupBlending', num_classes=5)
    runner = make_runner(tmp_path, model, epochs=2)
    runner.train()
    assert capsys.readouterr().out.count('halves share source clips') == 1
    assert len(logged(runner, 'upstream_loss')) == 4


# ------------------------------------------------- what can go wrong


@pytest.mark.parametrize('accumulative_counts', [1, 2])
def test_a_non_finite_hyper_gradient_is_skipped(accumulative_counts,
                                                tmp_path, capsys):
    runner = make_runner(
        tmp_path, count=24,
        optim=dict(accumulative_counts=accumulative_counts))
    hook, befores, values = hook_of(runner), [], []
    before_train = hook.before_train

    def install(runner):
        before_train(runner)
        loss = hook.learner.loss
        hook.learner.loss = lambda *args: loss(*args) * (
            float('nan') if runner.iter == 1 else 1.0)

    hook.before_train = install
    hook.before_steps.append(lambda samples: befores.append(upstream(runner)))
    hook.after_steps.append(lambda result: values.append(
        all(torch.equal(a, b) for a, b in zip(befores[-1],
                                              upstream(runner)))))
    runner.train()
    still = [False, True, False, False, False, False]
    if accumulative_counts == 2:
        still = [True, True, True, False, True, False]
    assert values == still
    assert logged(runner, 'upstream_skipped')[-1] == 1
    assert all(p.isfinite().all() for p in upstream(runner))
    for value in hook.learner.optimizer.state.values():
        assert all(v.isfinite().all() for v in value.values())
    out = capsys.readouterr().out
    assert out.count('an upstream step was skipped (non finite)') == 1


@pytest.mark.parametrize('options, message', [
    (dict(optimizer='AdamW'), 'optimizer of UpstreamDownstreamHook must be'),
    (dict(optimizer=dict(type='SGD')), 'optimizer.lr .* got None'),
    (dict(optimizer=dict(type='SGD', lr=0)), 'greater than 0, got 0'),
    (dict(order=3), 'order of UpstreamDownstreamHook must be 1 or 2, got 3'),
    (dict(order=True), 'must be 1 or 2, got True'),
    (dict(inner_lr='fast'), "must be 'auto' or a number greater than 0, got "
     "'fast'"),
    (dict(inner_lr=-1), "greater than 0, got -1"),
    (dict(held_out='half'), "held_out .* must be 'split' or the config of a "
     "dataloader, got 'half'"),
    (dict(interval=0), 'interval .* an integer of 1 or more, got 0'),
    (dict(start=-1), 'start .* an integer of 0 or more, got -1'),
    (dict(start=1.5), 'start .* got 1.5'),
    (dict(clip_grad=dict(norm=1)), r"clip_grad .* dict\(max_norm=...\)"),
    (dict(clip_grad=dict(type='value', max_norm=1)), 'clip_value=...'),
    (dict(clip_grad=dict(max_norm=1, normtype=2)), "got .*'normtype'"),
    (dict(clip_grad=dict(max_norm='x')), "clip_grad .* got .*'x'"),
    (dict(param_scheduler='cosine'), "param_scheduler .* got 'cosine'"),
    (dict(param_scheduler=[dict(by_epoch=True)]), 'the config of a scheduler'),
    (dict(held_out=dict(type='VideoDataset')), 'got one without dataset'),
    (dict(simulate_classifier='yes'), "True or False, got 'yes'"),
])
def test_bad_options_are_named(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make_runner(tmp_path, udl=options)


def test_a_batch_size_of_one_is_refused(tmp_path):
    runner = make_runner(tmp_path, batch_size=1)
    with pytest.raises(ValueError, match='train_dataloader.batch_size is 1'):
        runner.train()
    assert runner.iter == 0


def test_a_model_without_dsts_is_refused(tmp_path):
    runner = make_runner(tmp_path, tsm())
    with pytest.raises(ValueError, match='found no upstream parameter'):
        runner.train()


def test_another_constructor_is_refused(tmp_path):
    runner = make_runner(tmp_path, optim=dict(
        constructor='DefaultOptimWrapperConstructor'))
    with pytest.raises(ValueError, match="optim_wrapper.constructor to "
                       "'DSTSOptimWrapperConstructor'"):
        runner.train()


def test_sync_batch_norm_is_refused(tmp_path):
    runner = make_runner(tmp_path)
    torch.nn.SyncBatchNorm.convert_sync_batchnorm(runner.model.cls_head)
    with pytest.raises(ValueError, match='leave sync_bn out of the config'):
        runner.train()
    # That of the backbone is only run as usual.
    runner = make_runner(tmp_path)
    hook = hook_of(runner)
    runner.model.backbone.bn = torch.nn.SyncBatchNorm(3)
    runner.train()
    assert hook.learner is not None


def test_an_empty_held_out_loader_is_refused(tmp_path):
    runner = make_runner(tmp_path, udl=dict(
        held_out=loader(RandomClips(1), 2, drop_last=True)))
    with pytest.raises(ValueError, match='a dataloader without a batch: its '
                       'dataset has 1 samples'):
        runner.train()


def test_a_step_without_features_is_an_error(tmp_path):
    runner = make_runner(tmp_path)
    runner.model.train_step = lambda data, optim_wrapper: {}
    with pytest.raises(RuntimeError, match='without features at the DSTS'):
        runner.train()


# ----------------------------------------------------------------- the log


@pytest.mark.parametrize('name', ['tsm', 'slowfast'])
def test_logged_usage(name, tmp_path):
    runner = make_runner(tmp_path, MODELS[name](), count=16, epochs=2)
    counts = {}

    def count(result):
        for module, choices in result.evaluation.routing.items():
            counts.setdefault(module, []).append(torch.cat(choices, 1))

    hook_of(runner).after_steps.append(count)
    runner.train()
    suffixes = [''] if name == 'tsm' else ['_pathway0', '_pathway1']
    assert len(counts) == len(suffixes)
    for (module, choices), suffix in zip(counts.items(), suffixes):
        assert [c.shape for c in choices] == [(2, 4)] * 8
        for layer in range(2):
            shares = torch.cat(choices, 1)[layer].bincount(minlength=3) / 32
            last = {
                key: logged(runner, f'{key}{suffix}_layer{layer + 1}')[-1]
                for key in ('dsts_usage_entropy', 'dsts_largest_share',
                            'dsts_dead_neurons', 'dsts_spatial_share')}
            entropy = -sum(s * s.log() for s in shares if s) / np.log(3)
            assert last['dsts_usage_entropy'] == pytest.approx(
                float(entropy), abs=1e-6)
            assert last['dsts_largest_share'] == pytest.approx(
                shares.max().item())
            assert last['dsts_dead_neurons'] == (shares == 0).sum()
            assert last['dsts_spatial_share'] == pytest.approx(
                module.layers[layer].neurons.spatial_channels().float()
                .mean().item(), abs=0.1)


def test_collapse_is_warned_of_once_per_epoch(tmp_path, capsys):
    runner = make_runner(tmp_path, count=64, batch_size=16, epochs=2, udl=dict(
        optimizer=dict(type='SGD', lr=1e-9)))
    module, = dsts_modules(runner.model)
    with torch.no_grad():
        module.layers[1].synapse.linear.weight.zero_()
        module.layers[1].synapse.linear.bias[2] = 30
    runner.train()
    lines = [line for line in capsys.readouterr().out.splitlines()
             if 'have collapsed' in line]
    assert len(lines) == 2 and all('layer2' in line for line in lines)
    assert logged(runner, 'dsts_largest_share_layer2')[-1] == 1.0
    assert logged(runner, 'dsts_usage_entropy_layer2')[-1] == 0.0
    assert logged(runner, 'dsts_dead_neurons_layer2')[-1] == 2


def test_the_text_log_and_the_visualizer_have_it(tmp_path):
    runner = make_runner(tmp_path, log_level='INFO', visualizer=dict(
        type='ActionVisualizer', vis_backends=[dict(type='LocalVisBackend')]))
    runner.train()
    text = next(tmp_path.glob('*/*.log')).read_text()
    scalars = next(tmp_path.glob('*/vis_data/*.json')).read_text()
    for name in ('upstream_loss', 'upstream_lr', 'upstream_grad_norm',
                 'upstream_skipped', 'dsts_usage_entropy_layer1',
                 'dsts_dead_neurons_layer2', 'dsts_spatial_share_layer1'):
        assert f'{name}: ' in text, name
        assert f'"{name}": ' in scalars, name


# ------------------------------------------------------- loops and wrappers


def test_iteration_based_training(tmp_path):
    runner = make_runner(
        tmp_path, count=8, train_cfg=dict(by_epoch=False, max_iters=5),
        train_dataloader=loader(RandomClips(8), sampler=dict(
            type='InfiniteSampler', shuffle=False)),
        log_processor=dict(by_epoch=False))
    runner.train()
    assert len(logged(runner, 'upstream_loss')) == 5


def test_the_averaged_model_has_no_part_of_the_hook(tmp_path):
    ema = dict(type='EMAHook', momentum=0.5)
    runner = make_runner(tmp_path, hooks=[ema])
    before = upstream(runner)
    runner.train()
    averaged = hook_of(runner, 'EMAHook').ema_model.module
    assert averaged.cls_head.feature_listener is None
    assert runner.model.cls_head.feature_listener is None
    after = upstream(runner)
    mean = [p for m in dsts_modules(averaged)
            for p in m.upstream_parameters()]
    for a, b, c in zip(before, after, mean):
        assert not torch.equal(b, c) and not torch.equal(a, c)


def test_validation_is_left_alone(tmp_path):
    evaluation = loader(RandomClips(4, seed=2), 2)
    runner = make_runner(
        tmp_path, epochs=2, val_dataloader=evaluation,
        val_cfg=dict(), val_evaluator=dict(type='AccMetric'))
    runner.train()
    assert len(logged(runner, 'upstream_loss')) == 4


def test_the_loss_scale_is_read_and_cancels(tmp_path):
    """It scales the simulated losses, and counts the main steps alone."""
    scales, norms = [], []
    for enabled in (True, False):
        runner = make_runner(
            tmp_path / str(enabled), count=16,
            optim=dict(type='AmpOptimWrapper'))
        hook = hook_of(runner)
        # As on a GPU; on the CPU, AmpOptimWrapper's scaler is off.
        scaler = torch.amp.GradScaler(
            'cpu', init_scale=2.**12, growth_interval=2, enabled=enabled)
        before_train, befores = hook.before_train, []

        def install(runner):
            runner.optim_wrapper.loss_scaler = scaler
            before_train(runner)

        def look(result):
            scales.append(result.loss_scale)
            assert scaler.state_dict() == befores[-1]

        hook.before_train = install
        hook.before_steps.append(
            lambda samples: befores.append(scaler.state_dict()))
        hook.after_steps.append(look)
        runner.train()
        norms.append(logged(runner, 'upstream_grad_norm'))
    # Powers of two cancel exactly; the scale grows every second main step.
    assert scales == [2.**12, 2.**12, 2.**13, 2.**13] + [1.0] * 4
    assert len(norms[0]) == 4
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
@pytest.mark.parametrize('order', [1, 2])
def test_mixed_precision_on_a_gpu(dtype, order, tmp_path):
    runner = make_runner(
        tmp_path, count=32, udl=dict(order=order),
        optim=dict(type='AmpOptimWrapper', dtype=dtype))
    before = upstream(runner)
    runner.train()
    # A scale that starts too high costs a few steps of either optimizer.
    assert logged(runner, 'upstream_skipped')[-1] <= 4
    assert all(torch.isfinite(p).all() for p in upstream(runner))
    assert all(not torch.equal(a, b)
               for a, b in zip(before, upstream(runner)))


def test_a_test_run_needs_no_training(tmp_path):
    make_runner(tmp_path).train()
    loaders = dict(
        test_dataloader=loader(RandomClips(4, seed=2), 2), test_cfg=dict(),
        test_evaluator=dict(type='AccMetric'),
        load_from=str(tmp_path / 'epoch_1.pth'))
    runner = make_runner(tmp_path / 'test', **loaders)
    assert 0 <= runner.test()['acc/top1'] <= 1
    trained = make_runner(tmp_path / 'both', **loaders)
    trained.train()
    before = upstream(trained)
    trained.test()
    assert all(torch.equal(a, b) for a, b in zip(before, upstream(trained)))


def test_frozen_kernels_leave_the_upstream_learning_rate_alone(tmp_path):
    runner = make_runner(tmp_path, optim=dict(
        paramwise_cfg=dict(dsts=dict(lr_mult=0))))
    runner.train()
    assert logged(runner, 'upstream_lr') == [0.01, 0.01]
    assert logged(runner, 'upstream_inner_lr') == [0.3, 0.3]


def test_the_hook_listed_twice_is_refused(tmp_path):
    runner = make_runner(tmp_path, hooks=[dict(
        type='UpstreamDownstreamHook', optimizer=dict(type='SGD', lr=1))])
    with pytest.raises(ValueError, match='custom_hooks has .* 2 times'):
        runner.train()


@pytest.mark.parametrize('options, message', [
    (dict(optimizer=dict(type='AdamWW', lr=1)), 'optimizer of Upstream.* '
     'AdamWW is not in'),
    (dict(optimizer=dict(type='SGD', lr=1, momentm=1)), 'optimizer of '
     "UpstreamDownstreamHook cannot be built from .*'momentm'"),
    (dict(param_scheduler=dict(type='CosineAnnealingLR', Tmax=3)),
     "param_scheduler of UpstreamDownstreamHook cannot .*'Tmax'"),
    (dict(held_out=dict(dataset=RandomClips(2), batch_sizes=1)),
     "held_out of UpstreamDownstreamHook cannot be built"),
    (dict(held_out=dict(loader(dict(
        type='VideoDataset', ann_file='nowhere.txt', pipeline=[])))),
     'held_out of UpstreamDownstreamHook cannot .*nowhere.txt'),
])
def test_what_cannot_be_built_is_named(options, message, tmp_path):
    runner = make_runner(tmp_path, udl=options)
    with pytest.raises(ValueError, match=message):
        runner.train()


def test_other_wrappers_and_runners_are_refused(tmp_path):
    runner = make_runner(tmp_path)
    runner.model = torch.nn.DataParallel(runner.model)
    with pytest.raises(ValueError, match="not with model_wrapper_cfg.type "
                       "'DataParallel'"):
        runner.train()
    with pytest.raises(ValueError, match='works with the Runner of MMEngine, '
                       'not with object'):
        checks.check_runner(object())


def test_several_optimizers_are_refused(tmp_path):
    runner = make_runner(tmp_path)
    runner.optim_wrapper = OptimWrapperDict(
        main=runner.build_optim_wrapper(runner.optim_wrapper))
    with pytest.raises(ValueError, match='works with a single OptimWrapper, '
                       'not with OptimWrapperDict'):
        runner.train()


@pytest.mark.parametrize('model, options', [
    (specialize(slowonly(), layer='layer3', channels=64), {}),
    (specialize(tsm()), dict(cfg=dict(compile=dict(backend='eager'))))])
def test_omni_recognizers_have_to_share_features(model, options, tmp_path):
    runner = make_runner(tmp_path, model, **options)
    runner.model.__class__ = type(
        'Omni', (type(runner.model), RecognizerOmni), {})
    with pytest.raises(ValueError, match='works with Omni only where it '
                       'shares the features'):
        runner.train()
    assert runner.iter == 0
