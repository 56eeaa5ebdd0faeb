"""torch.compile of evaluation: one graph, and what runs without it."""
import copy
import warnings

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.deploy.folding import fuse
from dsts_mmaction.models import DSTSModule
from tests.builders import specialize, tsm
from tests.reference import randomize


@pytest.fixture(autouse=True)
def no_warnings():
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def make(deployed=False, **options):
    module = randomize(DSTSModule(6, mid_channels=4, **options)).eval()
    return fuse(module) if deployed else module


def compiled(module):
    return torch.compile(module, backend='aot_eager', fullgraph=True)


def clips(batch=7):
    # Samples that take different paths.
    return torch.randn(batch, 6, 2, 3, 3) + 3 * torch.randn(batch, 6, 1, 1, 1)


@pytest.mark.parametrize('deployed', [False, True])
@pytest.mark.parametrize('gates', [False, True])
@pytest.mark.parametrize('shared_kernels', [False, True])
def test_one_graph_gives_the_same(deployed, gates, shared_kernels):
    module = make(deployed, gates=gates,
                  shared_kernels=shared_kernels).double()
    graph = compiled(module)
    for batch in (7, 7, 1, 3):
        x = clips(batch).double()
        with torch.no_grad():
            output, expected = graph(x), module(x)
        torch.testing.assert_close(output.features, expected.features)
        assert torch.equal(output.routing, expected.routing)
    assert len(module(clips(64).double()).routing.unique()) > 1


@pytest.mark.parametrize('deployed', [False, True])
def test_one_graph_under_autocast(deployed):
    # One layer: rounding has no scores to turn.
    module = make(deployed, num_layers=1)
    graph, x = compiled(module), clips()
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        output, expected = graph(x), module(x)
    assert output.features.dtype == expected.features.dtype
    assert torch.equal(output.routing, expected.routing)
    torch.testing.assert_close(output.features, expected.features,
                               rtol=2e-2, atol=2e-2)


def test_new_weights_count_in_the_old_graph():
    module = make()
    graph, x = compiled(module), clips()
    with torch.no_grad():
        before = graph(x).features
        randomize(module)
        torch.testing.assert_close(graph(x).features, module(x).features,
                                   rtol=1e-4, atol=1e-3)
    assert not torch.allclose(before, module(x).features)


def test_gradients_in_evaluation_break_the_graph_and_are_right():
    module, x = make().double(), clips().double()
    expected = torch.autograd.grad(module(x).features.square().sum(),
                                   module.layers[0].neurons.spatial_kernels)
    graph = torch.compile(module, backend='aot_eager')
    found = torch.autograd.grad(graph(x).features.square().sum(),
                                module.layers[0].neurons.spatial_kernels)
    torch.testing.assert_close(found, expected)


def test_a_recognizer_is_one_graph():
    init_default_scope('mmaction')
    model = MODELS.build(copy.deepcopy(specialize(tsm()))).eval()
    for module in dsts_modules(model):
        randomize(module)
    x = torch.randn(3, 8, 3, 32, 32)

    def scores():
        with torch.no_grad():
            return model(x, mode='tensor', stage='head')

    torch.testing.assert_close(compiled(scores)(), scores(), rtol=1e-4,
                               atol=1e-4)
