"""Dense reference of the DSTS module: all N neurons, both operators.

Written from the formulas alone and kept simple on purpose: it runs every
neuron on every sample and mixes their outputs, so its cost grows with N.
Only the parameters are taken from the module under test.
"""
import math

import torch
import torch.nn.functional as F

from dsts_mmaction.dsts import DSTSModule


def noisy(logits, noise):
    return logits if noise is None else logits + noise


def straight_through(logits, noise, temperature):
    soft = torch.softmax(noisy(logits, noise) / temperature, dim=-1)
    hard = torch.zeros_like(soft)
    hard.scatter_(-1, soft.argmax(-1, keepdim=True), 1)
    return hard + soft - soft.detach()


class Surrogate:
    """What straight-through selection is differentiated as.

    The first forward freezes ``hard - soft`` of every score and gate, in the
    order of the calls; later forwards give ``frozen + soft``. So its value
    and first derivative are those of straight-through where it was frozen,
    and unlike it, it can be differenced.
    """

    def __init__(self):
        self.frozen = []
        self.calls = None

    def start(self):
        self.calls = 0 if self.frozen else None

    def __call__(self, logits, noise, temperature):
        soft = torch.softmax(noisy(logits, noise) / temperature, dim=-1)
        if self.calls is None:
            hard = torch.zeros_like(soft)
            hard.scatter_(-1, soft.argmax(-1, keepdim=True), 1)
            self.frozen.append((hard - soft).detach())
            return hard + soft - soft.detach()
        self.calls += 1
        return self.frozen[self.calls - 1] + soft


def one_hot_argmax(logits):
    hard = torch.zeros_like(logits)
    return hard.scatter_(-1, logits.argmax(-1, keepdim=True), 1)


def batch_norm(x, norm, training):
    """Batch norm that touches no running statistic."""
    if training:
        return F.batch_norm(x, None, None, norm.weight, norm.bias, True,
                            eps=norm.eps)
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight,
                        norm.bias, False, eps=norm.eps)


def pointwise(x, conv):
    return F.conv3d(x, conv.weight[..., None])


def dense_layer(layer, z, noise, temperature, training,
                choose=straight_through):
    """One layer; returns the features, the scores and the routing."""
    linear, neurons = layer.synapse.linear, layer.neurons
    scores = time_course(
        layer.synapse.time_course, z, training) @ linear.weight.t(
        ) + linear.bias
    gates = torch.ones(*neurons.spatial_kernels.shape[:2], 2).to(z)
    if training:
        routing = choose(scores, noise.synapse, temperature)
        if neurons.gate_logits is not None:
            gates = choose(neurons.gate_logits, noise.gates, temperature)
    else:
        routing = one_hot_argmax(scores)
        if neurons.gate_logits is not None:
            gates = one_hot_argmax(neurons.gate_logits)
    mixed = 0
    for n in range(scores.shape[1]):
        spatial = neurons.spatial_kernels[n]
        temporal = neurons.temporal_kernels[n]
        if neurons.shared_spatial_kernel is not None:
            spatial = spatial + neurons.shared_spatial_kernel
            temporal = temporal + neurons.shared_temporal_kernel
        spatial = F.conv3d(z, spatial[:, :, None], padding=(0, 1, 1))
        temporal = F.conv3d(
            z, temporal[:, :, :, None, None], padding=(1, 0, 0))
        gate_s, gate_t = gates[n].view(1, -1, 1, 1, 1, 2).unbind(-1)
        out = gate_s * spatial + gate_t * temporal
        mixed = mixed + routing[:, n].view(-1, 1, 1, 1, 1) * out
    z = z + F.relu(batch_norm(mixed, layer.norm, training))
    return z, scores, routing


def dense_forward(module: DSTSModule, x, noise=None,
                  choose=straight_through):
    """Features, auxiliary losses and routing of the whole module."""
    training = module.training
    z = F.relu(
        batch_norm(pointwise(x, module.reduce), module.reduce_norm, training))
    balance = router_z = 0
    choices = []
    for i, layer in enumerate(module.layers):
        z, scores, routing = dense_layer(layer, z, noise and noise[i],
                                         module.temperature, training, choose)
        hard = routing.detach().round()
        choices.append(hard.argmax(1))
        balance = balance + scores.shape[1] * (
            hard.mean(0) * torch.softmax(scores, 1).mean(0)).sum()
        router_z = router_z + torch.logsumexp(scores, 1).pow(2).mean()
    out = x + read_out(module.readout, z, routing)[..., None, None, None]
    losses = dict(
        loss_balance=module.balance_loss_weight * balance,
        loss_router_z=module.router_z_loss_weight * router_z)
    return out, losses if training else {}, torch.stack(choices)


def read_out(readout, z, routing):
    """What is added to the features, (B, C)."""
    coefficients = time_course(readout.time_course, z, readout.training)
    out = coefficients @ readout.linear.weight.t()
    if readout.own_weights is not None:
        for n, weight in enumerate(readout.own_weights):
            out = out + routing[:, n:n + 1] * (coefficients @ weight.t())
    return out * 8 / z.shape[1]**0.5


def time_course(course, z, training):
    """Cosine coefficients of the normalised averages, (B, M * K)."""
    frames = z.mean((3, 4))
    norm = course.norm
    if training and len(z) > 1:
        mean = frames.mean((0, 2))
        var = frames.var((0, 2), unbiased=False)
    else:
        mean, var = norm.running_mean, norm.running_var
    frames = (frames - mean[:, None]) / (var[:, None] + norm.eps).sqrt()
    length = frames.shape[2]
    cosines = torch.tensor([
        [math.cos(math.pi * k * (t + 0.5) / length) * (2**0.5 if k else 1)
         if k < length else 0 for k in range(course.cosines)]
        for t in range(length)], dtype=frames.dtype, device=frames.device)
    return (frames @ cosines / length).flatten(1)


class DenseLoss(torch.nn.Module):
    """Training loss on features of a DSTS module, the dense way.

    Args:
        module: The module under test, for its parameters.
        classify: From specialized features (B, C, T, H, W) and labels to the
            classification loss.
    """

    def __init__(self, module, classify):
        super().__init__()
        self.module = module
        self.classify = classify

    def forward(self, x, labels, noise, choose=straight_through):
        features, losses, _ = dense_forward(self.module, x, noise, choose)
        return self.classify(features, labels) + sum(losses.values())


def two_step_function(loss, upstream, downstream, simulated_on, held_out,
                      inner_lr, fixed=None):
    """The held-out loss after the simulated step, as a function of u.

    Written out from METHOD: d'(u) = d - a * grad_d loss(u, d; D_tr), then
    loss(u, d'(u); D_val), on the frozen surrogate of either step.

    Args:
        loss: A :class:`DenseLoss`.
        upstream: u by name, as in ``loss.module``; where it is frozen.
        downstream: d by name.
        simulated_on: Features, labels and noise of D_tr.
        held_out: The same of D_val.
        inner_lr: The learning rate a.
        fixed: Simulated parameters to be taken for constants (order 1).

    Returns:
        A function of a dict u, and d' at the given u.
    """
    choose = Surrogate(), Surrogate()

    def call(parameters, samples, surrogate):
        surrogate.start()
        parameters = {f'module.{n}': p for n, p in parameters.items()}
        return torch.func.functional_call(loss, parameters,
                                          (*samples, surrogate))

    def simulate(u, graph):
        value = call({**u, **downstream}, simulated_on, choose[0])
        gradients = torch.autograd.grad(
            value, list(downstream.values()), create_graph=graph)
        return {n: d - inner_lr * g
                for (n, d), g in zip(downstream.items(), gradients)}

    def function(u, graph=True):
        simulated = fixed or simulate(u, graph)
        return call({**u, **simulated}, held_out, choose[1])

    simulated = {n: d.detach() for n, d in simulate(upstream, False).items()}
    call({**upstream, **simulated}, held_out, choose[1])
    return function, simulated


def randomize(module, seed=None):
    """Every parameter and statistic random, the readout included."""
    generator = torch.Generator().manual_seed(
        torch.seed() % 2**31 if seed is None else seed)
    with torch.no_grad():
        for name, p in module.named_parameters():
            scale = 1.0 if p.dim() < 4 else (2 / p[0, 0].numel() /
                                             p.shape[-3])**0.5
            if name.startswith('readout'):  # its norm gives it values near 1
                scale = p.shape[-1]**-0.5
            p.copy_(torch.randn(p.shape, generator=generator) * scale)
        for name, b in module.named_buffers():
            if name.endswith('running_var'):
                b.copy_(torch.rand(b.shape, generator=generator) + 0.5)
            elif name.endswith('running_mean'):
                b.copy_(torch.randn(b.shape, generator=generator) * 0.1)
    return module
