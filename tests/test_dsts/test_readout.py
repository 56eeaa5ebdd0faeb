"""What the module adds to the features, and what it can tell apart."""
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dct

from dsts_mmaction.dsts.readout import Readout
from dsts_mmaction.dsts.time_course import cosine_coefficients
from dsts_mmaction.models import DSTSModule


@given(length=st.integers(1, 12), count=st.integers(1, 16))
def test_coefficients_are_those_of_scipy(length, count):
    x = torch.randn(2, 3, length, dtype=torch.float64)
    ours = cosine_coefficients(x, count)
    theirs = torch.zeros(2, 3, count, dtype=torch.float64)
    known = min(length, count)
    theirs[..., :known] = torch.from_numpy(
        dct(x.numpy(), norm='ortho'))[..., :known] / length**0.5
    torch.testing.assert_close(ours, theirs)


def make(cosines, dtype=torch.float64):
    readout = Readout(5, 7, cosines, 3).to(dtype)
    torch.nn.init.normal_(readout.linear.weight)
    torch.nn.init.normal_(readout.own_weights)
    return readout


def chosen(count, dtype=torch.float64):
    """Routing of as many samples."""
    return torch.nn.functional.one_hot(torch.arange(count) % 3, 3).to(dtype)


def test_time_reversed_clips_differ():
    z = torch.rand(4, 5, 8, 2, 3, dtype=torch.float64)
    average, ours = make(1), make(4)
    torch.testing.assert_close(average(z.flip(2), chosen(4)),
                               average(z, chosen(4)))
    before, after = ours(z, chosen(4)), ours(z.flip(2), chosen(4))
    assert ((after - before).norm(dim=1) > 0.1 * before.norm(dim=1)).all()


def test_channels_of_any_scale_count_as_much():
    readout = make(4)
    readout.time_course.norm.eps = 1e-30
    z = torch.rand(6, 5, 8, 2, 2, dtype=torch.float64)
    scale = torch.rand(1, 5, 1, 1, 1, dtype=torch.float64) + 1e-3
    torch.testing.assert_close(readout(scale * z, chosen(6)),
                               readout(z, chosen(6)))


def test_float32_under_autocast():
    readout = make(4, torch.float32)
    z = torch.rand(3, 5, 8, 2, 2)
    expected = readout.eval()(z, chosen(3, torch.float32))
    with torch.autocast('cpu', torch.bfloat16):
        out = readout(z, chosen(3, torch.float32))
    assert out.dtype == torch.float32
    assert torch.equal(out, expected)


def test_neurons_of_the_last_layer_read_out_differently():
    module = DSTSModule(6, mid_channels=4, num_neurons=3, num_layers=2)
    module.double().eval()
    torch.nn.init.normal_(module.readout.own_weights)
    x = torch.randn(1, 6, 4, 3, 2, dtype=torch.float64)
    added = []
    for neuron in range(3):
        # The layers do the same, whichever neuron is chosen.
        torch.nn.init.zeros_(module.layers[-1].norm.weight)
        module.layers[-1].synapse.linear.bias.data = 1e3 * torch.eye(
            3, dtype=torch.float64)[neuron]
        added.append((module(x).features - x).mean((2, 3, 4)))
    assert not torch.allclose(added[0], added[1], atol=1e-3)
    assert not torch.allclose(added[1], added[2], atol=1e-3)


def test_one_neuron_has_no_map_beside_the_shared_one():
    assert DSTSModule(6, num_neurons=1).readout.own_weights is None


def test_what_is_added_is_the_same_everywhere():
    module = DSTSModule(6, mid_channels=4, num_neurons=2, num_layers=1)
    torch.nn.init.normal_(module.readout.linear.weight)
    x = torch.randn(3, 6, 4, 3, 2)
    added = module(x).features - x
    assert added.abs().max() > 0
    torch.testing.assert_close(
        added, added[:, :, :1, :1, :1].expand_as(added), rtol=0, atol=1e-5)


def test_the_average_of_a_single_sample_counts_in_training():
    readout = make(1)
    first, second = torch.rand(2, 1, 5, 8, 2, 2, dtype=torch.float64)
    change = readout(first, chosen(1)) - readout(second, chosen(1))
    assert change.abs().max() > 0.01


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_module_in_half_precision(dtype):
    module = DSTSModule(6, mid_channels=4, num_neurons=1, num_layers=1)
    torch.nn.init.normal_(module.readout.linear.weight)
    x = torch.randn(3, 6, 4, 3, 2)
    module(x)  # statistics
    expected = module.eval()(x).features
    module.to(dtype)
    output = module(x.to(dtype)).features
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), expected, rtol=0.05, atol=0.1)
    module.train()(x.to(dtype)).features.sum().backward()
    assert all(p.grad.isfinite().all() for p in module.parameters()
               if p.grad is not None)
