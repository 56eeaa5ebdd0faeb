"""State dicts that version 0.2.0 wrote give the predictions it gave.

``tests/data/state_dicts_0.2.0.pt`` holds, for some options of DSTSModule,
a state dict of random values, that of its deployed form, an input and what
0.2.0 made of it; and the same of a DSTSHead.
"""
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

from dsts_mmaction.deploy.fused_module import DeployedDSTSModule
from dsts_mmaction.models import DSTSModule

SAVED = torch.load(
    Path(__file__).parents[1] / 'data' / 'state_dicts_0.2.0.pt',
    weights_only=True)


def assert_same(ours, saved):
    """To 1e-6 of the largest value, in float32."""
    torch.testing.assert_close(ours, saved, rtol=0,
                               atol=1e-6 * saved.abs().max().item())


@pytest.mark.parametrize('name', SAVED['modules'])
def test_module(name):
    saved = SAVED['modules'][name]
    module = DSTSModule(6, **saved['options']).eval()
    module.load_state_dict(saved['state_dict'])
    output = module(saved['x'])
    assert_same(output.features, saved['features'])
    assert torch.equal(output.routing, saved['routing'])
    assert list(module.state_dict()) == list(saved['state_dict'])


@pytest.mark.parametrize('name', SAVED['modules'])
def test_deployed_module(name):
    saved = SAVED['modules'][name]
    deployed = DeployedDSTSModule.like(DSTSModule(6, **saved['options']))
    deployed.load_state_dict(saved['deployed'])
    output = deployed(saved['x'])
    assert_same(output.features, saved['features'])
    assert torch.equal(output.routing, saved['routing'])


def test_head():
    saved, options = SAVED['head'], SAVED['modules']['default']['options']
    init_default_scope('mmaction')
    head = MODELS.build(dict(
        type='DSTSHead', num_segments=4, dsts=options,
        head=dict(type='TSNHead', num_classes=4, in_channels=6,
                  dropout_ratio=0))).eval()
    head.load_state_dict(saved['state_dict'])
    assert_same(head(saved['feats'], num_segs=4), saved['scores'])
