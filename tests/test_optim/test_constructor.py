"""Parameter groups: the host's rules hold, DSTS joins with its own."""
import pytest
import torch
from mmaction.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.optim import (
    DefaultOptimWrapperConstructor,
    OptimWrapperDict,
    build_optim_wrapper,
)

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.models import DSTSModule
from dsts_mmaction.optim.groups import convert_upstream_group
from tests.builders import build, slowonly, specialize, tsm
from tests.test_dsts.test_layer import videomae

SGD = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.01)
HOSTS = {
    'default': {},
    'TSMOptimWrapperConstructor': dict(fc_lr5=True),
    'SwinOptimWrapperConstructor': dict(
        absolute_pos_embed=dict(decay_mult=0.),
        norm=dict(decay_mult=0.), backbone=dict(lr_mult=0.1)),
    'DefaultOptimWrapperConstructor': dict(
        custom_keys={'cls_head.fc_cls': dict(lr_mult=3.0)}),
}


def rules(constructor, options):
    options = dict(options)
    if constructor != 'default':
        options['constructor'] = constructor
    return options


def groups_by_name(model, optim_wrapper, rename=lambda name: name):
    """(lr, weight decay) of every parameter, by its name."""
    names = {id(p): rename(n) for n, p in model.named_parameters()}
    return {
        names[id(p)]: (group['lr'], group['weight_decay'])
        for group in optim_wrapper.optimizer.param_groups
        for p in group['params']
    }


@pytest.mark.parametrize('host', HOSTS)
@pytest.mark.parametrize('kind', ['head', 'neck'])
def test_host_parameters_get_the_host_s_own_rules(host, kind):
    options = HOSTS[host]
    cfg = tsm() if kind == 'head' else slowonly()
    plain = build(cfg)
    twin = specialize(cfg) if kind == 'head' else dict(
        cfg, neck=dict(type='DSTSNeck', in_channels=128))
    special = build(twin)
    own = build_optim_wrapper(
        special,
        dict(constructor='DSTSOptimWrapperConstructor', optimizer=SGD,
             paramwise_cfg=rules(host, options)))
    expected_cfg = dict(optimizer=SGD, paramwise_cfg=options or None)
    if host != 'default':
        expected_cfg['constructor'] = host
    expected = groups_by_name(plain, build_optim_wrapper(plain, expected_cfg))
    ours = groups_by_name(
        special, own, lambda name: name.replace('cls_head.head', 'cls_head'))
    assert {k: v for k, v in ours.items() if '.dsts.' not in k} == expected
    if host == 'TSMOptimWrapperConstructor':
        assert ours['cls_head.fc_cls.weight'] == (0.5, 0.01)
    dsts = {k: v for k, v in ours.items() if '.dsts.' in k}
    assert len(dsts) == len(list(next(dsts_modules(special)).parameters()))
    for name, value in dsts.items():
        decays = name.endswith(
            ('reduce.weight', 'readout.linear.weight', 'own_weights',
             '_kernels', '_kernel'))
        assert value == (0.1, 0.01 if decays else 0.0), name


def test_every_parameter_is_in_exactly_one_group_and_groups_are_named():
    special = build(specialize(tsm()))
    optim_wrapper = build_optim_wrapper(
        special,
        dict(constructor='DSTSOptimWrapperConstructor', optimizer=SGD,
             paramwise_cfg=dict(
                 constructor='TSMOptimWrapperConstructor', fc_lr5=False,
                 dsts=dict(lr_mult=2.0, decay_mult=0.5))))
    optimizer = optim_wrapper.optimizer
    ids = [id(p) for g in optimizer.param_groups for p in g['params']]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in special.parameters()}
    named = {g['name']: g for g in optimizer.param_groups if 'name' in g}
    assert list(named) == ['dsts_kernels', 'dsts_norms', 'dsts_own_kernels',
                           'dsts_upstream']
    assert all(g['lr'] == 0.2 for g in named.values())
    assert named['dsts_kernels']['weight_decay'] == 0.005
    module, = dsts_modules(special)
    assert {id(p) for p in named['dsts_upstream']['params']} == {
        id(p) for p in module.upstream_parameters()}
    assert {id(p) for p in named['dsts_own_kernels']['params']} == {
        id(p) for p in module.private_parameters()}


def test_frozen_parameters_are_left_out():
    special = build(specialize(tsm()))
    module, = dsts_modules(special)
    for parameter in module.upstream_parameters():
        parameter.requires_grad_(False)
    optimizer = build_optim_wrapper(
        special,
        dict(constructor='DSTSOptimWrapperConstructor',
             optimizer=SGD)).optimizer
    assert 'dsts_upstream' not in [
        g.get('name') for g in optimizer.param_groups]


def test_plain_recognizer_and_missing_weight_decay():
    plain = build(tsm())
    optimizer = build_optim_wrapper(
        plain,
        dict(constructor='DSTSOptimWrapperConstructor',
             optimizer=dict(type='Adam', lr=1e-3))).optimizer
    assert len(optimizer.param_groups) == 1
    special = build(specialize(tsm()))
    optimizer = build_optim_wrapper(
        special,
        dict(constructor='DSTSOptimWrapperConstructor',
             optimizer=dict(type='Adam', lr=1e-3))).optimizer
    assert all(g['weight_decay'] == 0 for g in optimizer.param_groups)


def test_what_the_config_leaves_to_the_optimizer_is_the_optimizer_s():
    special = build(specialize(tsm()))
    optimizer = build_optim_wrapper(
        special,
        dict(constructor='DSTSOptimWrapperConstructor',
             optimizer=dict(type='AdamW'), paramwise_cfg=dict(
                 dsts=dict(lr_mult=2.0, decay_mult=0.5)))).optimizer
    lr, decay = (optimizer.defaults[name] for name in ('lr', 'weight_decay'))
    assert lr > 0 and decay > 0
    named = {g['name']: g for g in optimizer.param_groups if 'name' in g}
    neurons = next(dsts_modules(special)).num_neurons
    assert {name: g['lr'] for name, g in named.items()} == {
        name: g['configured_lr'] for name, g in named.items()} == dict(
        dsts_kernels=2 * lr, dsts_own_kernels=2 * lr * (1 / neurons),
        dsts_norms=2 * lr, dsts_upstream=2 * lr)
    assert {name: g['weight_decay'] for name, g in named.items()} == dict(
        dsts_kernels=decay / 2, dsts_own_kernels=decay / 2, dsts_norms=0,
        dsts_upstream=0)


@pytest.mark.parametrize('optimizer, own_lr_mult, expected', [
    ('SGD', None, [1, 1]),
    ('Adam', None, [1 / 3, 1 / 2]),
    ('RMSprop', None, [1 / 3, 1 / 2]),
    ('SGD', 0.25, [0.25, 0.25]),
    ('AdamW', 0.25, [0.25, 0.25]),
])
def test_what_neurons_own_learns_as_slowly_as_each_sees_samples(
        optimizer, own_lr_mult, expected):
    modules = [DSTSModule(8, num_neurons=n) for n in (3, 2, 1)]
    model = torch.nn.ModuleList([torch.nn.Linear(2, 2), *modules])
    options = {} if own_lr_mult is None else dict(own_lr_mult=own_lr_mult)
    groups = build_optim_wrapper(
        model,
        dict(constructor='DSTSOptimWrapperConstructor',
             optimizer=dict(type=optimizer, lr=0.5), paramwise_cfg=dict(
                 dsts=dict(options, lr_mult=4)))).optimizer.param_groups
    lr = {id(p): group['lr'] for group in groups for p in group['params']}
    assert set(lr) == {id(p) for p in model.parameters()}
    for module, mult in zip(modules, [*expected, 1]):
        own = {id(p) for p in module.private_parameters()}
        assert bool(own) == (module.num_neurons > 1)
        for parameter in module.parameters():
            assert lr[id(parameter)] == pytest.approx(
                2 * (mult if id(parameter) in own else 1))


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TwoOptimizers(DefaultOptimWrapperConstructor):
    """A host constructor that makes several optimizers."""

    def __call__(self, model):
        return OptimWrapperDict(
            backbone=super().__call__(model.backbone),
            cls_head=super().__call__(model.cls_head))


def test_several_optimizers_are_refused():
    with pytest.raises(ValueError, match='must make a single OptimWrapper, '
                       'and TwoOptimizers makes an OptimWrapperDict'):
        build_optim_wrapper(
            build(specialize(tsm())),
            dict(constructor='DSTSOptimWrapperConstructor', optimizer=SGD,
                 paramwise_cfg=dict(constructor='TwoOptimizers')))


def test_the_model_is_whole_again_when_the_host_s_constructor_fails():
    special = build(specialize(tsm()))
    names = list(special.state_dict())
    special.strange = torch.nn.PReLU()
    with pytest.raises(ValueError, match='New atomic module type'):
        build_optim_wrapper(
            special,
            dict(constructor='DSTSOptimWrapperConstructor', optimizer=SGD,
                 paramwise_cfg=dict(
                     constructor='TSMOptimWrapperConstructor', fc_lr5=True)))
    assert list(special.state_dict())[:-1] == names


def test_unknown_option_is_named():
    with pytest.raises(ValueError, match="paramwise_cfg.dsts has no option "
                       "'lr'; allowed are lr_mult, decay_mult and "
                       'own_lr_mult'):
        OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(type='DSTSOptimWrapperConstructor',
                 optim_wrapper_cfg=dict(optimizer=SGD),
                 paramwise_cfg=dict(dsts=dict(lr=1))))


def test_layer_wise_decay_and_its_named_groups():
    options = dict(decay_rate=0.5, decay_type='layer_wise', num_layers=2)
    plain = build(videomae())
    twin = specialize(videomae(), layer='blocks.1', channels=24,
                      tokens=dict(grid=(2, 2, 2)))
    special = build(twin)
    name = 'LearningRateDecayOptimizerConstructor'
    wrappers = [
        build_optim_wrapper(model, dict(
            constructor=constructor, optimizer=SGD, paramwise_cfg=paramwise))
        for model, constructor, paramwise in (
            (plain, name, options),
            (special, 'DSTSOptimWrapperConstructor',
             dict(options, constructor=name)))]
    expected = groups_by_name(plain, wrappers[0])
    ours = groups_by_name(special, wrappers[1],
                          lambda name: name.replace('head.head', 'head'))
    assert {k: v for k, v in ours.items() if '.dsts.' not in k} == expected
    assert expected['backbone.blocks.0.attn.qkv.weight'][0] == 0.1 / 4
    names = {id(p): n for n, p in special.named_parameters()}
    for group in wrappers[1].optimizer.param_groups:
        assert [n.replace('cls_head.head', 'cls_head') for n in
                group['param_names']] == [
            names[id(p)].replace('cls_head.head', 'cls_head')
            for p in group['params']]

    # A joint run's state in a run whose hook trains the upstream group.
    joint = wrappers[1].optimizer
    udl = torch.optim.SGD([
        dict(group, params=[] if group.get('name') == 'dsts_upstream' else
             group['params'],
             param_names=[] if group.get('name') == 'dsts_upstream' else
             group['param_names']) for group in joint.param_groups], lr=0.1)
    for optimizer in (joint, udl):
        optimizer.register_load_state_dict_pre_hook(convert_upstream_group)
    own = [group['param_names'] for group in joint.param_groups]
    left = [group['param_names'] for group in udl.param_groups]
    states = joint.state_dict(), udl.state_dict()
    udl.load_state_dict(states[0])
    joint.load_state_dict(states[1])
    assert [group['param_names'] for group in udl.param_groups] == left
    assert [group['param_names'] for group in joint.param_groups] == own
