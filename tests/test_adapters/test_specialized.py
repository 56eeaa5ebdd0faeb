"""Configs, models and state dicts with DSTS, and the way back."""
import copy

import pytest
import torch
from mmengine.config import Config

from dsts_mmaction.adapters.specialized import (
    adapter_configs,
    check_plain,
    is_deployed,
    plain_config,
    plain_head,
    plain_state_dict,
)
from dsts_mmaction.deploy.fusing import fuse_dsts
from tests.builders import DSTS, build, slowfast, slowonly, specialize, tsm

NECK = dict(slowonly(), neck=dict(type='DSTSNeck', in_channels=128,
                                  dsts=DSTS))
PAIRS = dict(
    head=(tsm(), specialize(tsm())),
    pathways=(slowfast(), specialize(slowfast(), channels=(128, 16))),
    layer=(slowonly(), specialize(slowonly(), layer='layer3', channels=64)),
    neck=(slowonly(), NECK))


@pytest.mark.parametrize('name', PAIRS)
@pytest.mark.parametrize('scope', ['', 'mmaction.'])
def test_config_of_the_plain_recognizer(name, scope):
    plain, special = copy.deepcopy(PAIRS[name])
    part = 'neck' if name == 'neck' else 'cls_head'
    kind = special[part]['type']
    special[part]['type'] = scope + kind
    cfg = Config(dict(model=special))
    assert adapter_configs(cfg) == {f'model.{part}': cfg.model[part]}
    with pytest.raises(ValueError, match=f'^model.{part} is a {kind} already'):
        check_plain(cfg)
    found = plain_config(cfg)
    check_plain(found)
    if name == 'neck':
        plain['neck'] = None
    assert found.model.to_dict() == plain
    assert cfg.model.to_dict() == special


def test_adapters_are_found_anywhere():
    inner = dict(type='DSTSHead', head=dict(type='I3DHead'))
    cfg = Config(dict(model=dict(type='A', parts=[dict(cls_head=inner)])))
    assert list(adapter_configs(cfg)) == ['model.parts.0.cls_head']
    assert adapter_configs(Config(dict(lr=1))) == {}


@pytest.mark.parametrize('name', PAIRS)
def test_model_and_state_dict_of_the_plain_recognizer(name):
    plain, special = (build(cfg) for cfg in PAIRS[name])
    assert type(plain_head(special)) is type(plain_head(plain))
    special.load_state_dict(plain.state_dict(), strict=False)
    for prefix in ('', 'module.'):
        state, expected = (
            {prefix + key: value for key, value in model.state_dict().items()}
            for model in (special, plain))
        reduced = plain_state_dict(state)
        assert reduced.keys() == expected.keys()
        for key, value in expected.items():
            assert torch.equal(reduced[key], value)
        assert not is_deployed(state)
    assert is_deployed(fuse_dsts(special).state_dict())
    with pytest.raises(ValueError, match='not that of a specialized'):
        plain_state_dict(reduced)
