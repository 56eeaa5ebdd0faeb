from pathlib import Path

import pytest
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.tailor.placement import feature_channels
from dsts_mmaction.tailor.specialize import specialize_config

OURS = Path(__file__).parents[2] / 'configs'
HOSTS = [
    'tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py',
    'slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb.py',
    'slowonly/slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb.py',
    'swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb'
    '.py',
    'i3d/i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb.py',
    'tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb.py',
]
DSTS = dict(num_neurons=2, num_layers=1, mid_channels=16)


def host(name, tmp_path):
    path = tmp_path / 'host.py'
    path.write_text(f"_base_ = 'mmaction::recognition/{name}'\n")
    cfg = Config.fromfile(path)
    init_default_scope('mmaction')
    for part in (cfg.model.backbone, cfg.model.backbone.get('slow_pathway'),
                 cfg.model.backbone.get('fast_pathway')):
        if part is not None and part.get('pretrained'):
            part.pretrained = None  # the address of weights to download
    return cfg


@pytest.mark.parametrize('name', HOSTS, ids=lambda n: n.partition('/')[0])
def test_hosts_of_mmaction(name, tmp_path):
    cfg = host(name, tmp_path)
    before = cfg.to_dict()
    special = specialize_config(cfg, DSTS, udl=2)
    assert cfg.to_dict() == before

    model = MODELS.build(special.model)
    modules = list(dsts_modules(model))
    assert [m.in_channels for m in modules] == list(feature_channels(cfg))
    assert special.custom_imports.imports[-1] == 'dsts_mmaction'
    assert special.custom_hooks[-1].order == 2
    # Every parameter is trained, the host's as the host's constructor says.
    optim = special.optim_wrapper
    optim.type = 'OptimWrapper'  # Swin's is for mixed precision on a GPU
    optim.pop('loss_scale', None)
    groups = build_optim_wrapper(model, optim).optimizer.param_groups
    grouped = [id(p) for group in groups for p in group['params']]
    assert sorted(grouped) == sorted(
        id(p) for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize('name', [
    'tsm/{}tsm_r18_1xb16-1x1x8-8e_shrec17-rgb.py',
    'slowfast/{}slowfast_r18_1xb16-4x8x1-8e_shrec17-rgb.py'
])
def test_same_as_the_written_configs(name):
    plain = Config.fromfile(OURS / name.format(''))
    for prefix, udl in (('dsts-', None), ('dsts-udl-', 2)):
        written = Config.fromfile(OURS / name.format(prefix)).to_dict()
        ours = specialize_config(plain, plain.dsts, udl).to_dict()
        # The defaults that we spell out.
        for hook in ours.get('custom_hooks', []):
            assert hook.pop('order') == 2
        paramwise = written['optim_wrapper'].setdefault('paramwise_cfg', {})
        paramwise.setdefault('constructor', 'DefaultOptimWrapperConstructor')
        assert ours == written


def test_hooks_and_imports_of_the_host_are_kept():
    cfg = Config(dict(
        model=dict(type='Recognizer3D', backbone=dict(),
                   cls_head=dict(type='I3DHead', in_channels=8)),
        custom_imports=dict(imports='elsewhere', allow_failed_imports=True),
        custom_hooks=[dict(type='EMAHook')], optim_wrapper=dict()))
    special = specialize_config(cfg, DSTS, 1, dict(interval=4))
    assert [h.type for h in special.custom_hooks] == [
        'EMAHook', 'UpstreamDownstreamHook']
    assert special.custom_hooks[1].interval == 4
    assert special.custom_imports == dict(
        imports=['elsewhere', 'dsts_mmaction'], allow_failed_imports=True)
    joint = specialize_config(cfg, DSTS)
    assert [h.type for h in joint.custom_hooks] == ['EMAHook']


def test_refused_configs():
    plain = Config.fromfile(
        OURS / 'tsm/tsm_r18_1xb16-1x1x8-8e_shrec17-rgb.py')
    with pytest.raises(ValueError, match='is a DSTSHead already'):
        specialize_config(specialize_config(plain))
    plain.model.cls_head = None
    with pytest.raises(ValueError, match='must be there .* got none'):
        specialize_config(plain)


def test_a_config_that_only_tests_is_specialized_too():
    cfg = Config(dict(model=dict(
        type='Recognizer3D', backbone=dict(type='X3D'),
        cls_head=dict(type='X3DHead', in_channels=8))))
    assert 'optim_wrapper' not in specialize_config(cfg, DSTS)
    with pytest.raises(ValueError, match='udl is 2, but .* does not train'):
        specialize_config(cfg, DSTS, udl=2)
