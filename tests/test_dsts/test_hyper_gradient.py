"""The hyper-gradient against a dense two-step reference in float64."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from dsts_mmaction.dsts.hyper_gradient import hyper_gradient
from dsts_mmaction.models import DSTSModule
from tests.reference import DenseLoss, randomize, two_step_function

INNER_LR = 0.3


class Problem:
    """A module with a classifier, samples of both steps, and their noise."""

    def __init__(self, batch=(3, 4), size=(2, 3, 3), channels=5,
                 num_neurons=3, num_layers=2, mid_channels=4,
                 temperature=1.0, **options):
        double = dict(dtype=torch.float64)
        self.module = randomize(
            DSTSModule(
                channels, num_neurons=num_neurons, num_layers=num_layers,
                mid_channels=mid_channels, temperature=temperature,
                balance_loss_weight=0.3, router_z_loss_weight=0.1,
                **options).double())
        self.weight = torch.randn(channels, 4, **double)
        named = dict(self.module.named_parameters())
        ids = {id(p) for p in self.module.upstream_parameters()}
        self.upstream = {n: p for n, p in named.items() if id(p) in ids}
        self.downstream = {n: p for n, p in named.items() if id(p) not in ids}
        self.samples = [
            (torch.randn(b, channels, *size, **double),
             torch.randint(4, (b, )), self.module.sample_noise(b))
            for b in batch
        ]

    def classify(self, features, labels):
        return F.cross_entropy(features.mean((2, 3, 4)) @ self.weight, labels)

    def loss(self, parameters, samples):
        x, labels, noise = samples
        buffers = {n: b.clone() for n, b in self.module.named_buffers()}
        output = functional_call(self.module, (parameters, buffers),
                                 (x, noise))
        return (self.classify(output.features, labels) +
                sum(output.losses.values()))

    def ours(self, order, inner_lr=INNER_LR, **options):
        return hyper_gradient(self.loss, self.upstream, self.downstream,
                              *self.samples, inner_lr, order, **options)

    def reference(self, order, inner_lr=INNER_LR):
        """The two-step function of this problem, and its gradient."""
        args = (DenseLoss(self.module, self.classify), self.upstream,
                self.downstream, *self.samples, inner_lr)
        function, simulated = two_step_function(*args)
        if order == 1:
            function, _ = two_step_function(*args, fixed=simulated)
        return function, torch.autograd.grad(
            function(self.upstream), list(self.upstream.values()))


@pytest.mark.parametrize('order', [1, 2])
@settings(max_examples=15, deadline=None)
@given(
    batch=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    size=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(2, 3)),
    num_neurons=st.integers(1, 5),
    num_layers=st.integers(1, 3),
    mid_channels=st.integers(1, 5),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    shared_kernels=st.booleans(),
    specialized_readout=st.booleans(),
    noise_scale=st.sampled_from([0, 1]))
def test_equals_the_reference(order, **options):
    problem = Problem(**options)
    _, reference = problem.reference(order)
    for ours, expected in zip(problem.ours(order).gradients, reference):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize('order', [1, 2])
def test_equals_finite_differences(order):
    # A difference across a kink of ReLU is wrong, and rarely one is hit.
    for _ in range(3):
        problem = Problem(num_neurons=4, mid_channels=6, shared_kernels=True)
        function, _ = problem.reference(order)
        gradients = problem.ours(order).gradients
        worst = 0
        for _ in range(4):
            vectors = [torch.randn_like(p)
                       for p in problem.upstream.values()]
            step = 1e-6

            def at(sign):
                moved = {
                    n: p.detach() + sign * step * v for (n, p), v in zip(
                        problem.upstream.items(), vectors)}
                return function(moved, graph=False).item()

            difference = (at(1) - at(-1)) / (2 * step)
            expected = sum((g * v).sum()
                           for g, v in zip(gradients, vectors)).item()
            assert abs(difference) > 1e-6, 'the reference must not be zero'
            worst = max(worst, abs(difference - expected) / abs(expected))
        if worst < 1e-4:
            return
    raise AssertionError(f'relative error {worst}')


def test_the_step_is_simulated_and_the_second_order_term_is_there():
    problem = Problem(num_neurons=4, mid_channels=6)

    def norm(a, b):
        return sum((x - y).square().sum() for x, y in zip(a, b)).sqrt()

    still = problem.ours(1, inner_lr=1e-12).gradients
    first = problem.ours(1).gradients
    second = problem.ours(2).gradients
    size = norm(first, [0] * len(first))
    assert norm(first, still) > 1e-3 * size
    assert norm(second, first) > 1e-3 * size
    # The term through d' is of the first order in the inner learning rate.
    steps = [norm(problem.ours(2, inner_lr=a).gradients,
                  problem.ours(1, inner_lr=a).gradients) / a
             for a in (1e-6, 2e-6)]
    assert steps[0] > 0
    assert steps[0].item() == pytest.approx(steps[1].item(), rel=1e-2)


def test_at_initialisation_only_the_simulated_step_gives_a_gradient():
    problem = Problem()
    problem.module.readout.reset_parameters()
    problem.module.balance_loss_weight = 0.0
    problem.module.router_z_loss_weight = 0.0
    _, reference = problem.reference(2)
    gradients = problem.ours(2).gradients
    assert max(g.abs().max() for g in gradients) > 1e-6
    for ours, expected in zip(gradients, reference):
        torch.testing.assert_close(ours, expected)
    still = problem.ours(2, inner_lr=1e-300).gradients
    assert max(g.abs().max() for g in still) < 1e-200


@pytest.mark.parametrize('order', [1, 2])
def test_the_loss_scale_cancels(order):
    problem = Problem()
    plain, scaled = problem.ours(order), problem.ours(order, loss_scale=2.**16)
    assert torch.equal(plain.loss, scaled.loss)
    for a, b in zip(plain.gradients, scaled.gradients):
        torch.testing.assert_close(a, b)


def test_nothing_is_written_to_the_model():
    problem = Problem()
    state = {n: v.clone() for n, v in problem.module.state_dict().items()}
    result = problem.ours(2)
    assert all(torch.equal(v, state[n])
               for n, v in problem.module.state_dict().items())
    assert all(p.grad is None for p in problem.module.parameters())
    assert not result.loss.requires_grad
    assert not any(g.requires_grad for g in result.gradients)
