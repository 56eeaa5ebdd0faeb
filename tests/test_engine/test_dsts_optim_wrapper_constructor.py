"""Parameter groups: the host's rules hold, DSTS joins with its own."""
import pytest
import torch
from mmaction.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.optim import build_optim_wrapper

from dsts_mmaction.models.unspecialized import dsts_modules
from tests.builders import build, slowonly, specialize, tsm

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
            ('reduce.weight', 'expand.weight', '_kernels', '_kernel'))
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
    assert list(named) == ['dsts_kernels', 'dsts_norms', 'dsts_upstream']
    assert all(g['lr'] == 0.2 for g in named.values())
    assert named['dsts_kernels']['weight_decay'] == 0.005
    module, = dsts_modules(special)
    assert {id(p) for p in named['dsts_upstream']['params']} == {
        id(p) for p in module.upstream_parameters()}


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
                       "'lr'; allowed are lr_mult and decay_mult"):
        OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(type='DSTSOptimWrapperConstructor',
                 optim_wrapper_cfg=dict(optimizer=SGD),
                 paramwise_cfg=dict(dsts=dict(lr=1))))
