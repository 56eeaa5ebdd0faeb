"""The deployed module against the one that it was made of."""
import copy
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsts_mmaction.adapters.pathways import Pathways
from dsts_mmaction.deploy import dispatch
from dsts_mmaction.deploy.folding import fuse
from dsts_mmaction.deploy.fused_module import DeployedDSTSModule
from dsts_mmaction.dsts import DSTSModule
from tests.reference import dense_forward, randomize
from tests.test_dsts.test_module import ways

PATHS = pytest.mark.parametrize('batched', [False, True])


def make(in_channels=6, gates=True, kinds=(), **options):
    """A random module; ``kinds``: neurons that are of one kind throughout."""
    options = dict(dict(num_neurons=3, num_layers=2, mid_channels=4),
                   **options)
    module = randomize(DSTSModule(in_channels, gates=gates, **options))
    module = module.double().eval()
    if gates:
        for layer in module.layers:
            for neuron, kind in enumerate(kinds[:module.num_neurons]):
                if kind is not None:
                    with torch.no_grad():
                        layer.neurons.gate_logits[neuron, :, kind] = 9.0
                        layer.neurons.gate_logits[neuron, :, 1 - kind] = -9.0
    return module


def features(batch, channels, size):
    """Clips that differ in their averages, which the synapses look at."""
    return (torch.randn(batch, channels, *size, dtype=torch.float64)
            + 2 * torch.randn(batch, channels, 1, 1, 1, dtype=torch.float64))


def check(deployed, module, x):
    expected, _, routing = dense_forward(module, x)
    for batched in (False, True):
        deployed.batched = batched
        before = x.clone()
        with torch.no_grad():
            output = deployed(x)
        torch.testing.assert_close(output.features, expected, rtol=1e-9,
                                   atol=1e-9)
        assert torch.equal(output.routing, routing)
        assert output.routing.dtype == torch.int64
        assert output.losses == {}
        assert torch.equal(x, before)


@settings(max_examples=60, deadline=None)
@given(batch=st.integers(1, 6),
       size=st.tuples(st.integers(1, 4), st.integers(1, 4),
                      st.integers(1, 4)),
       channels=st.integers(1, 5),
       kinds=st.lists(st.sampled_from([None, 0, 1]), max_size=6),
       options=st.fixed_dictionaries(dict(
           num_neurons=st.integers(1, 6), num_layers=st.integers(1, 3),
           mid_channels=st.integers(1, 6), gates=st.booleans(),
           shared_kernels=st.booleans(),
           specialized_readout=st.booleans())),
       way=ways)
def test_features_and_routing_are_those_of_the_module(batch, size, channels,
                                                      kinds, options, way):
    module = make(channels, kinds=kinds, **options)
    before = copy.deepcopy(module.state_dict())
    with mock.patch.multiple(dispatch, **way):
        deployed = fuse(module)
        check(deployed, module, features(batch, channels, size))
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def test_samples_of_a_batch_take_different_neurons():
    """What the test above rests on."""
    paths = [fuse(make(num_neurons=5, mid_channels=8))(
        features(32, 6, (2, 3, 3))).routing.unique(dim=1).shape[1]
        for _ in range(20)]
    assert sum(count > 1 for count in paths) > 10


@pytest.mark.parametrize('gates', [True, False])
def test_any_state_dict_of_the_same_options_loads(gates):
    options = dict(num_neurons=3, mid_channels=8, gates=gates)
    modules = [make(**options, kinds=kinds)
               for kinds in ([], [0, 0, 0], [1, None, 0], [1, 1, 1])]
    deployed = DeployedDSTSModule.like(modules[0]).double()
    x = features(5, 6, (2, 3, 3))
    for module in modules:  # one after the other: nothing stays of the last
        deployed.load_state_dict(fuse(module).state_dict())
        check(deployed, module, x)
    check(copy.deepcopy(deployed), modules[-1], x)


def test_kernels_that_gates_did_not_choose_are_gone():
    module = make(num_neurons=2, num_layers=1, mid_channels=40)
    with torch.no_grad():
        logits = module.layers[0].neurons.gate_logits
        logits[..., 0], logits[..., 1] = 0, 1
        logits[0, :17, 0] = logits[1, 4:30, 0] = 2
    layer, = fuse(module).layers
    # 26 and 23, filled up to blocks of 16.
    assert layer.spatial_kernels.shape == (2, 32, 40, 3, 3)
    assert layer.temporal_kernels.shape == (2, 32, 40, 3)
    assert not layer.spatial_kernels[0, 17:].any()
    assert not layer.spatial_kernels[:, 26:].any()
    check(fuse(module), module, features(7, 6, (3, 2, 2)))


@PATHS
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_other_dtypes_and_autocast(batched, dtype):
    module = make(num_neurons=4, mid_channels=16).float()
    x = features(6, 6, (4, 3, 3)).to(dtype)
    deployed = fuse(module)
    deployed.batched = batched
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16,
                                         enabled=dtype == torch.bfloat16):
        output, expected = deployed(x), module(x)
    assert output.features.dtype == dtype
    if dtype == torch.float32:
        assert torch.equal(output.routing, expected.routing)
        torch.testing.assert_close(output.features, expected.features,
                                   rtol=1e-4, atol=1e-4)


def test_it_is_for_inference_and_says_so():
    options = dict(num_neurons=2, num_layers=1, mid_channels=4)
    x = torch.randn(2, 6, 2, 3, 3)
    empty = Pathways(6, dict(options, deployed=True)).eval()
    assert isinstance(empty[0], DeployedDSTSModule)
    with pytest.raises(ValueError, match='before its checkpoint'):
        empty(x)
    filled = Pathways(6, dict(options, deployed=True))
    filled[0].load_state_dict(fuse(make(6, **options)).state_dict())
    with pytest.raises(ValueError, match='cannot be trained'):
        filled.train()(x)
    filled.eval()(x)
    with pytest.raises(ValueError, match='C = in_channels = 6, got shape'):
        filled[0](x[:, :5])
    with pytest.raises(ValueError, match="deployed must be True or False, "
                                         "got 'yes'"):
        Pathways(6, dict(options, deployed='yes'))
    with pytest.raises(ValueError, match='mid_channels must be'):
        Pathways(6, dict(mid_channels=0, deployed=True))


def test_a_state_dict_of_other_options_does_not_load():
    deployed = DeployedDSTSModule.like(make(num_neurons=3))
    for other in (dict(num_neurons=2), dict(mid_channels=5),
                  dict(gates=False)):
        with pytest.raises(RuntimeError, match='mismatch|Missing'):
            deployed.load_state_dict(fuse(make(**other)).state_dict())
