"""The DSTS module against a dense reference, and its own promises."""
import copy
import warnings
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from dsts_mmaction.deploy import dispatch
from dsts_mmaction.models import DSTSModule
from tests.reference import dense_forward, randomize


def make(in_channels=6, dtype=torch.float64, **options):
    options = dict(dict(num_neurons=3, num_layers=2, mid_channels=4),
                   **options)
    module = DSTSModule(in_channels, **options).to(dtype)
    return randomize(module)


shapes = dict(
    batch=st.integers(1, 5),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    num_neurons=st.integers(1, 6),
    num_layers=st.integers(1, 3),
    channels=st.integers(1, 5),
    temperature=st.sampled_from([0.3, 1.0, 2.5]),
    options=st.fixed_dictionaries(dict(
        gates=st.booleans(), shared_kernels=st.booleans(),
        specialized_readout=st.booleans(),
        noise_scale=st.sampled_from([0, 0.5, 1]))))

# By neuron, by sample, or as it comes.
ways = st.fixed_dictionaries(dict(
    SAMPLES_PER_NEURON=st.sampled_from([0, 100, 4]),
    BLOCK=st.sampled_from([1, 2, 16])))


@settings(max_examples=30, deadline=None)
@given(**shapes)
def test_training_forward_and_gradients_equal_dense(batch, size, num_neurons,
                                                    num_layers, channels,
                                                    temperature, options):
    if batch * size[0] * size[1] * size[2] == 1:
        return
    module = make(
        channels, num_neurons=num_neurons, num_layers=num_layers,
        temperature=temperature, balance_loss_weight=0.7,
        router_z_loss_weight=0.3, **options)
    x = torch.randn(batch, channels, *size, dtype=torch.float64,
                    requires_grad=True)
    target = torch.randn_like(x)
    noise = module.sample_noise(batch)
    inputs = [x, *module.parameters()]

    output = module(x, noise)
    features, losses, routing = dense_forward(module, x, noise)
    torch.testing.assert_close(output.features, features)
    assert torch.equal(output.routing, routing)
    assert output.routing.shape == (num_layers, batch)
    assert output.routing.dtype == torch.int64
    assert set(output.losses) == set(losses)
    for name in losses:
        torch.testing.assert_close(output.losses[name], losses[name])

    def gradients(features, losses):
        loss = (features * target).sum() + sum(losses.values())
        return torch.autograd.grad(loss, inputs)

    for ours, dense in zip(gradients(output.features, output.losses),
                           gradients(features, losses)):
        torch.testing.assert_close(ours, dense)


def test_every_upstream_gradient_is_non_zero():
    # The comparison above would also pass if both sides were zero.
    module = make(num_neurons=5, mid_channels=16)
    x = torch.randn(8, 6, 3, 4, 4, dtype=torch.float64)
    (module(x).features**2).sum().backward()
    for layer in module.layers:
        assert (layer.synapse.linear.weight.grad.abs().amax(1) > 0).all()


@settings(max_examples=60, deadline=None)
@given(**shapes, way=ways)
def test_evaluation_dispatch_equals_dense(batch, size, num_neurons,
                                          num_layers, channels, temperature,
                                          options, way):
    module = make(channels, num_neurons=num_neurons, num_layers=num_layers,
                  temperature=temperature, **options).eval()
    x = torch.randn(batch, channels, *size, dtype=torch.float64,
                    requires_grad=True)
    features, _, routing = dense_forward(module, x)
    with mock.patch.multiple(dispatch, **way):
        output = module(x)
    torch.testing.assert_close(output.features, features)
    assert torch.equal(output.routing, routing)
    assert output.losses == {}
    # As attribution methods ask for.
    inputs = [x, *(p for p in module.downstream_parameters())]
    for ours, dense in zip(*(
            torch.autograd.grad(each.square().sum(), inputs,
                                allow_unused=True, materialize_grads=True)
            for each in (output.features, features))):
        torch.testing.assert_close(ours, dense)


@pytest.mark.parametrize('create', ['construct', 'reset'])
def test_initial_scores_tell_samples_apart(create):
    module = DSTSModule(32, num_neurons=50, num_layers=1, mid_channels=32)
    if create == 'reset':
        module = randomize(module)
        module.reset_parameters()
    z = torch.rand(64, 32, 2, 3, 3)
    scores = module.layers[0].synapse(z)
    assert 0.7 < scores.std() < 1.4
    assert scores.std(0).min() > 0.3


@pytest.mark.parametrize('create', ['construct', 'reset'])
def test_all_neurons_of_a_layer_start_with_the_same_gates(create):
    module = DSTSModule(8, num_neurons=4, num_layers=2, mid_channels=256)
    if create == 'reset':
        module = randomize(module)
        module.reset_parameters()
    first, second = (
        layer.neurons.spatial_channels() for layer in module.layers)
    for channels in (first, second):
        assert (channels == channels[0]).all()
        # Six standard deviations of 256 fair coins.
        assert abs(channels[0].sum() - 128) < 48
    assert not torch.equal(first, second)


@pytest.mark.parametrize('spatial', ['all', 'none'])
def test_evaluation_with_all_gates_on_one_side(spatial):
    module = make().eval()
    with torch.no_grad():
        for layer in module.layers:
            layer.neurons.gate_logits[..., 0] = 5 if spatial == 'all' else -5
            layer.neurons.gate_logits[..., 1] = 0
    x = torch.randn(4, 6, 3, 2, 5, dtype=torch.float64)
    torch.testing.assert_close(module(x).features, dense_forward(module, x)[0])


def test_evaluation_equals_training_without_noise():
    """Where all samples' own statistics are frozen."""
    module = make(num_neurons=4)
    x = torch.randn(6, 6, 3, 4, 4, dtype=torch.float64)
    module.train()
    for m in module.modules():
        if isinstance(m, (torch.nn.BatchNorm1d, torch.nn.BatchNorm3d)):
            m.eval()
    trained = module(x)
    evaluated = module.eval()(x)
    assert torch.equal(trained.routing, evaluated.routing)
    torch.testing.assert_close(trained.features, evaluated.features)


def test_float32_agrees_with_float64():
    module = make(32, dtype=torch.float32, mid_channels=16)
    double = copy.deepcopy(module).double()
    x = torch.randn(4, 32, 4, 5, 5)
    torch.testing.assert_close(
        module(x).features, double(x.double()).features.float(), rtol=1e-3,
        atol=1e-3)
    module.eval(), double.eval()
    torch.testing.assert_close(
        module(x).features, double(x.double()).features.float(), rtol=1e-3,
        atol=1e-3)


def test_bfloat16_autocast():
    # Where rounding turns a choice, which is rare, that sample's path is
    # another, and so are the batch statistics of all others: nothing to
    # compare. Another draw then.
    for _ in range(10):
        module = make(32, dtype=torch.float32, mid_channels=16)
        x = torch.randn(4, 32, 4, 5, 5)
        noise = module.sample_noise(4)
        exact = module(x, noise)
        with torch.autocast('cpu', torch.bfloat16):
            output = module(x, noise)
            scores = module.layers[0].synapse(x.bfloat16()[:, :16])
            sum(output.losses.values(), output.features.sum()).backward()
        if torch.equal(output.routing, exact.routing):
            break
    assert torch.equal(output.routing, exact.routing)
    assert scores.dtype == torch.float32
    assert output.features.dtype == x.dtype
    assert all(p.grad is not None for p in module.parameters())
    error = (output.features - exact.features).norm()
    assert error < 0.05 * exact.features.norm()
    with torch.autocast('cpu', torch.bfloat16), torch.no_grad():
        assert module.eval()(x).features.dtype == x.dtype


def test_scores_keep_float64():
    module = make()
    assert module.layers[0].synapse(
        torch.randn(2, 4, 1, 1, 1, dtype=torch.float64)).dtype == torch.float64


def test_second_derivatives_equal_dense():
    """The gradient of a gradient, for inputs and all parameters."""
    module = make(num_neurons=4, mid_channels=12)
    x = torch.randn(5, 6, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    noise = module.sample_noise(5)
    inputs = [x, *module.parameters()]
    vectors = [torch.randn_like(p) for p in inputs]

    def second(forward):
        features, losses = forward()[:2]
        loss = (features**2).sum() + sum(losses.values())
        first = torch.autograd.grad(loss, inputs, create_graph=True)
        dot = sum((g * v).sum() for g, v in zip(first, vectors))
        return torch.autograd.grad(dot, inputs)

    ours = second(lambda: module(x, noise))
    dense = second(lambda: dense_forward(module, x, noise))
    for a, b in zip(ours, dense):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b)


def test_third_derivative_along_a_kernel_equals_dense():
    module = make(num_neurons=3, num_layers=1, mid_channels=2)
    # torch's batch norm is right up to the second derivative.
    module.readout.eval()
    x = torch.randn(3, 6, 2, 2, 2, dtype=torch.float64)
    noise = module.sample_noise(3)
    neurons = module.layers[0].neurons
    inputs = [neurons.spatial_kernels, neurons.gate_logits,
              module.layers[0].synapse.linear.weight]

    def third(features):
        value = (features**3).sum()
        for _ in range(2):
            grads = torch.autograd.grad(value, inputs, create_graph=True)
            value = sum((g**2).sum() for g in grads)
        return torch.autograd.grad(value, inputs)

    for a, b in zip(third(module(x, noise).features),
                    third(dense_forward(module, x, noise)[0])):
        torch.testing.assert_close(a, b)


def test_functional_call_and_torch_func_grad():
    """The simulated step of UDL runs the module on other parameters."""
    module = make()
    x = torch.randn(4, 6, 2, 3, 3, dtype=torch.float64)
    noise = module.sample_noise(4)
    params = {k: p.detach() + 0.1 for k, p in module.named_parameters()}

    def loss(params):
        buffers = {k: b.clone() for k, b in module.named_buffers()}
        output = functional_call(module, (params, buffers), (x, noise))
        return (output.features**2).sum()

    grads = torch.func.grad(loss)(params)
    other = copy.deepcopy(module)
    other.load_state_dict(params, strict=False)
    expected = torch.autograd.grad(
        (dense_forward(other, x, noise)[0]**2).sum(), other.parameters())
    for name, b in zip(params, expected):
        torch.testing.assert_close(grads[name], b)


def test_identity_at_initialisation_and_after_reset():
    module = DSTSModule(6, mid_channels=4)
    x = torch.randn(3, 6, 2, 4, 4)
    assert torch.equal(module(x).features, x)
    assert torch.equal(module.eval()(x).features, x)
    randomize(module)
    assert not torch.equal(module(x).features, x)
    before = module.layers[0].neurons.spatial_kernels.clone()
    module.reset_parameters()
    assert torch.equal(module(x).features, x)
    assert not torch.equal(module.layers[0].neurons.spatial_kernels, before)


def test_parameters_are_partitioned():
    module = make()
    upstream = list(module.upstream_parameters())
    downstream = list(module.downstream_parameters())
    ids = [id(p) for p in upstream + downstream]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in module.parameters()}
    names = {n for n, p in module.named_parameters()
             if any(p is u for u in upstream)}
    assert names == {
        f'layers.{i}.{n}' for i in range(2) for n in
        ('synapse.linear.weight', 'synapse.linear.bias', 'neurons.gate_logits')
    }


@pytest.mark.parametrize('options, own', [
    ({}, ('neurons.spatial_kernels', 'neurons.temporal_kernels',
          'own_weights')),
    (dict(shared_kernels=False), ('own_weights', )),
    (dict(specialized_readout=False),
     ('neurons.spatial_kernels', 'neurons.temporal_kernels')),
    (dict(num_neurons=1), ()),
])
def test_a_neuron_owns_what_it_has_beside_a_shared_part(options, own):
    module = DSTSModule(6, mid_channels=4, **{'num_neurons': 3, **options})
    found = [id(p) for p in module.private_parameters()]
    assert len(found) == len(set(found))
    assert set(found) <= {id(p) for p in module.downstream_parameters()}
    assert {n for n, p in module.named_parameters() if id(p) in found} == {
        n for n, _ in module.named_parameters() if n.endswith(own)}


def test_without_gates_only_synapses_are_upstream():
    module = make(gates=False)
    upstream = [id(p) for p in module.upstream_parameters()]
    assert {n for n, p in module.named_parameters() if id(p) in upstream} == {
        f'layers.{i}.synapse.linear.{n}' for i in range(2)
        for n in ('weight', 'bias')
    }


def test_shared_kernels_are_as_an_added_neuron_and_one_has_none():
    module = make(shared_kernels=True)
    separate = make(shared_kernels=False)
    state = module.state_dict()
    for name in list(state):
        if 'shared_' in name:
            shared = state.pop(name)
            own = (name.replace('shared_', '')
                   + 's')  # shared_spatial_kernel, spatial_kernels
            state[own] = state[own] + shared
    separate.load_state_dict(state)
    x = torch.randn(4, 6, 2, 3, 3, dtype=torch.float64)
    noise = module.sample_noise(4)
    torch.testing.assert_close(
        module(x, noise).features, separate(x, noise).features)
    names = [name for name, _ in make(num_neurons=1).named_parameters()]
    assert not any('shared' in name for name in names)


def test_without_noise_nothing_is_drawn():
    module = make()
    before = torch.get_rng_state()
    module(torch.randn(4, 6, 2, 3, 3, dtype=torch.float64,
                       generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_comes_from_the_given_generator():
    module = make(noise_scale=0.5)
    draws = [module.sample_noise(4, torch.Generator().manual_seed(s))
             for s in (1, 1, 2)]
    assert torch.equal(draws[0][1].gates, draws[1][1].gates)
    assert not torch.equal(draws[0][1].gates, draws[2][1].gates)
    assert not torch.equal(draws[0][0].gates, draws[0][1].gates)
    module = make(noise_scale=1.0)
    torch.manual_seed(5)
    x = torch.randn(4, 6, 2, 3, 3, dtype=torch.float64)
    torch.manual_seed(6)
    first = module(x).features
    torch.manual_seed(6)
    assert torch.equal(first, module(x, module.sample_noise(4)).features)


@pytest.mark.parametrize('change', ['load', 'data', 'dtype', 'in_place'])
def test_evaluation_never_serves_stale_kernels(change):
    module = make().eval()
    x = torch.randn(4, 6, 2, 3, 3, dtype=torch.float64)
    module(x)
    other = make()
    if change == 'load':
        module.load_state_dict(other.state_dict())
    elif change == 'data':  # as an EMA swap does
        for p, q in zip(module.parameters(), other.parameters()):
            p.data, q.data = q.data, p.data
    elif change == 'dtype':
        module.to(torch.float32).to(torch.float64)
    else:
        with torch.no_grad():
            for p in module.parameters():
                p.mul_(-1)
    torch.testing.assert_close(module(x).features, dense_forward(module, x)[0])


def test_a_sample_does_not_depend_on_its_batch_in_evaluation():
    module = make(num_neurons=5).eval()
    x = torch.randn(7, 6, 3, 4, 4, dtype=torch.float64)
    whole = module(x)
    while len(whole.routing.unique()) < 2:  # one path for all tests nothing
        whole = randomize(module)(x)
    for i in range(7):
        alone = module(x[i:i + 1])
        torch.testing.assert_close(alone.features[0], whole.features[i])
        assert torch.equal(alone.routing[:, 0], whole.routing[:, i])


def test_compiled_training_forward_gives_the_same():
    module = make(dtype=torch.float32)
    x = torch.randn(4, 6, 2, 3, 3)
    noise = module.sample_noise(4)
    expected = module(x, noise)
    grads = torch.autograd.grad(expected.features.square().sum(),
                                module.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        output = torch.compile(module, backend='aot_eager',
                               fullgraph=True)(x, noise)
        compiled = torch.autograd.grad(output.features.square().sum(),
                                       module.parameters())
    torch.testing.assert_close(output.features, expected.features)
    for a, b in zip(compiled, grads):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_losses_tell_balance_from_collapse():
    module = make(num_neurons=4, num_layers=1, balance_loss_weight=1.0)
    x = torch.randn(64, 6, 1, 2, 2, dtype=torch.float64)
    linear = module.layers[0].synapse.linear
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.zero_()
    assert module(x).losses['loss_balance'].item() == pytest.approx(1.0)
    with torch.no_grad():
        linear.bias[2] = 50.0
    output = module(x)
    assert output.losses['loss_balance'].item() == pytest.approx(4.0)
    assert (output.routing == 2).all()
    assert output.losses['loss_router_z'].item() == pytest.approx(2.5)


@pytest.mark.parametrize('options, message', [
    (dict(num_neurons=0), 'num_neurons must be an integer of 1 or more'),
    (dict(num_layers=-1), 'num_layers must be an integer of 1 or more'),
    (dict(mid_channels=2.5), 'mid_channels must be an integer of 1 or more'),
    (dict(in_channels=0), 'in_channels must be an integer of 1 or more'),
    (dict(gates=1), 'gates must be True or False, got 1'),
    (dict(shared_kernels=None), 'shared_kernels must be True or False'),
    (dict(specialized_readout=1),
     'specialized_readout must be True or False, got 1'),
    (dict(noise_scale=-1), 'noise_scale must be a number of 0 or more'),
    (dict(temperature=0), 'temperature must be a number greater than 0, '
     'got 0'),
    (dict(temperature='warm'), "greater than 0, got 'warm'"),
    (dict(temperature=float('nan')), 'temperature must be a number'),
    (dict(balance_loss_weight=-1), 'balance_loss_weight must be a number'),
    (dict(router_z_loss_weight=-1), 'router_z_loss_weight must be a number'),
])
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        DSTSModule(**dict(dict(in_channels=4), **options))


def test_bad_inputs_are_named():
    module = make()
    for shape in [(2, 5, 2, 3, 3), (2, 6, 3, 3), (6, )]:
        with pytest.raises(ValueError, match='in_channels = 6, got shape'):
            module(torch.randn(shape, dtype=torch.float64))
    one = torch.randn(1, 6, 1, 1, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match='more than one value per channel'):
        module(one)
    assert module.eval()(one).features.shape == one.shape


def test_default_width_and_representation():
    for in_channels, mid_channels in [(2048, 256), (512, 128), (32, 16)]:
        assert DSTSModule(in_channels, num_neurons=1, num_layers=1
                          ).mid_channels == mid_channels
    assert ('in_channels=6, num_neurons=3, num_layers=2, mid_channels=4'
            in repr(make()))
    assert '3 neurons of 4 channels' in repr(make())
