"""The hyper-gradient on whole recognizers: against a dense reference, and
the same however its features are come by."""
import pytest
import torch
import torch.nn.functional as F
from mmaction.models.backbones import ResNet3dSlowOnly
from mmaction.registry import MODELS as REGISTRY

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.models import DSTSModule
from dsts_mmaction.udl.options import UDLOptions
from dsts_mmaction.udl.random_streams import random_streams
from dsts_mmaction.udl.samples import Samples, half
from dsts_mmaction.udl.steps import UpstreamLearner
from dsts_mmaction.udl.tails import HeadTail, RecognizerTail, make_tail
from tests.builders import (
    DSTS,
    NUM_CLASSES,
    build,
    clips,
    samples,
    slowonly,
    specialize,
    tsm,
)
from tests.reference import DenseLoss, randomize, two_step_function
from tests.runners import MODELS, hook_of, logged, make_runner, same, state

pytestmark = pytest.mark.usefixtures('one_thread')

OPTIONS = dict(optimizer=dict(type='SGD', lr=0.1))


@REGISTRY.register_module()
class SpecializedSlowOnly(ResNet3dSlowOnly):
    """A backbone with a DSTS module in its middle."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dsts = DSTSModule(64, **DSTS)

    def forward(self, x):
        x = self.maxpool(self.conv1(x))
        for name in self.res_layers:
            x = getattr(self, name)(x)
            if name == 'layer3':
                x = self.dsts(x).features
        return x


def inside():
    """A recognizer whose backbone has the DSTS module."""
    cfg = slowonly()
    cfg['backbone'] = dict(cfg['backbone'], type='SpecializedSlowOnly')
    return cfg


def prepared(cfg):
    """A random model in training, and a batch of 5 for it, in float64."""
    model = build(cfg).train()
    for module in dsts_modules(model):
        randomize(module)
    return model, dict(inputs=clips(cfg, videos=5), data_samples=samples(5))


def gradients_of(model, tail, reached, order=2, inner_lr=0.3, seed=7):
    """Hyper-gradients by parameter, of the samples that reached the tail."""
    learner = UpstreamLearner(model, tail, UDLOptions(order=order, **OPTIONS))
    with random_streams(seed):
        gradient = learner.accumulate(*reached.detach().split(half(5)),
                                      inner_lr, 1.0).gradient
    return dict(zip(learner.upstream.values(), learner.split(gradient)))


@pytest.mark.parametrize('order', [1, 2])
def test_recognizer_equals_the_dense_reference(order):
    model, data = prepared(specialize(tsm()))
    module, = dsts_modules(model)
    features = model.extract_feat(data['inputs'])[0].detach()
    x = features.unflatten(0, (5, 8)).transpose(1, 2)
    labels = torch.tensor([i % NUM_CLASSES for i in range(5)])
    with random_streams(7):
        noise = module.sample_noise(2), module.sample_noise(3)
    fc = model.cls_head.head.fc_cls

    def classify(features, labels):
        return F.cross_entropy(fc(features.mean((2, 3, 4))), labels)

    named = dict(module.named_parameters())
    ids = {id(p) for p in module.upstream_parameters()}
    upstream = {n: p for n, p in named.items() if id(p) in ids}
    args = (DenseLoss(module, classify), upstream,
            {n: p for n, p in named.items() if id(p) not in ids},
            (x[:2], labels[:2], noise[0]), (x[2:], labels[2:], noise[1]), 0.3)
    function, simulated = two_step_function(*args)
    if order == 1:
        function, _ = two_step_function(*args, fixed=simulated)
    expected = torch.autograd.grad(
        function(upstream), list(upstream.values()))

    tail = make_tail(model)
    ours = gradients_of(model, tail, tail.capture(model, data), order)
    for p, reference in zip(upstream.values(), expected):
        assert reference.abs().max() > 0
        torch.testing.assert_close(ours[p], reference)


def test_simulated_classifier_equals_the_dense_reference():
    model, data = prepared(specialize(tsm()))
    module, = dsts_modules(model)
    fc = model.cls_head.head.fc_cls
    tail = make_tail(model)
    moved = UpstreamLearner(model, tail, UDLOptions(
        simulate_classifier=True, **OPTIONS))
    assert {id(p) for p in moved.downstream.values()} == {
        id(p) for p in [*module.downstream_parameters(), *fc.parameters()]}
    still = UpstreamLearner(model, tail, UDLOptions(**OPTIONS))
    assert not {id(p) for p in fc.parameters()} & {
        id(p) for p in still.downstream.values()}
    parts = tail.capture(model, data).detach().split(2)
    losses = []
    for learner in (moved, still):
        with random_streams(7):
            losses.append(learner.accumulate(*parts, 0.3, 1.0).loss)
    assert losses[0] != losses[1]


@pytest.mark.parametrize('name', MODELS)
def test_features_are_those_of_the_ordinary_step(name):
    model, data = prepared(MODELS[name]())
    before = {n: b.clone() for n, b in model.named_buffers()}
    tail, reached = make_tail(model), []
    captured = tail.capture(model, data)
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())
    assert tail.adapter.feature_listener is None
    with tail.listening(reached.append):
        model(**data, mode='loss')
    model(**data, mode='loss')
    shared, = reached
    assert shared.data_samples is data['data_samples']
    features = [[s.features] if torch.is_tensor(s.features) else s.features
                for s in (shared, captured)]
    for a, b in zip(*features):
        assert a.requires_grad and not b.requires_grad
        assert torch.equal(a, b)


@pytest.mark.parametrize('tail', [make_tail, RecognizerTail])
def test_no_cast_without_a_graph_stays_behind(tail, monkeypatch):
    model, data = prepared(specialize(tsm()))
    left, clear = [], torch.clear_autocast_cache
    model.backbone.register_forward_hook(lambda *args: left.append('casts'))
    monkeypatch.setattr(torch, 'clear_autocast_cache',
                        lambda: (left.clear(), clear()))
    with torch.autocast('cpu', torch.bfloat16):
        tail(model).capture(model, data)
        assert not left


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize('order', [1, 2])
def test_the_whole_recognizer_gives_what_its_tail_gives(name, order):
    """With the features of the whole batch, not of halves."""
    model, data = prepared(MODELS[name]())
    short, whole = make_tail(model), RecognizerTail(model)
    assert short.shares and not whole.shares
    ours = gradients_of(model, short, short.capture(model, data), order)
    theirs = gradients_of(model, whole, whole.capture(model, data), order)
    assert ours.keys() == theirs.keys()
    for p in ours:
        torch.testing.assert_close(ours[p], theirs[p])
        assert ours[p].abs().max() > 0


def test_module_inside_the_backbone():
    model, data = prepared(inside())
    tail = make_tail(model)
    assert isinstance(tail, RecognizerTail)
    captured = tail.capture(model, data)
    ours = gradients_of(model, tail, captured)
    assert all(g.abs().max() > 0 for g in ours.values())

    # By hand: the rest of the recognizer on halves of the whole batch's map.
    x = captured.features[1]
    module, = dsts_modules(model)
    named = dict(module.named_parameters())
    ids = {id(p) for p in module.upstream_parameters()}
    upstream = {n: p for n, p in named.items() if id(p) in ids}

    def loss(parameters, part):
        features = torch.func.functional_call(module, parameters,
                                              (x[part], )).features
        features = model.backbone.layer4(features)
        return model.cls_head.loss(
            features, data['data_samples'][part])['loss_cls']

    downstream = {n: p for n, p in named.items() if n not in upstream}
    with random_streams(7):
        inner = loss({}, slice(0, 2))
        gradients = torch.autograd.grad(
            inner, list(downstream.values()), create_graph=True)
        simulated = {n: p - 0.3 * g for (n, p), g in zip(
            downstream.items(), gradients)}
        outer = loss(simulated, slice(2, 5))
    expected = torch.autograd.grad(outer, list(upstream.values()))
    for p, reference in zip(upstream.values(), expected):
        torch.testing.assert_close(ours[p], reference)


def test_behind_the_last_layer_as_in_the_head():
    in_head, data = prepared(specialize(slowonly()))
    behind = build(specialize(slowonly(), layer='layer4', channels=128))
    behind.load_state_dict(in_head.state_dict())
    found = []
    for model, kind in ((in_head, HeadTail), (behind.train(),
                                              RecognizerTail)):
        tail = make_tail(model)
        assert isinstance(tail, kind)
        captured = tail.capture(model, data)
        gradients = gradients_of(model, tail, captured)
        names = {id(p): n for n, p in model.named_parameters()}
        found.append({names[id(p)]: g for p, g in gradients.items()})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(found[1][name], gradient)


def test_recomputing_trains_as_sharing_does(tmp_path):
    """Under a Runner, dropout and blending included, bit by bit."""
    model = specialize(tsm())
    model['cls_head']['head'].update(dropout_ratio=0.5)
    model['data_preprocessor']['blending'] = dict(
        type='MixupBlending', num_classes=NUM_CLASSES)
    states, forwards = [], []
    for shares in (True, False):
        runner = make_runner(tmp_path / str(shares), model, count=12)
        hook, calls = hook_of(runner), []
        if not shares:
            before_run = hook.before_run

            def recompute(runner):
                before_run(runner)
                hook.learner.tail.shares = False

            hook.before_run = recompute
        runner.model.backbone.register_forward_hook(
            lambda *args: calls.append(0))
        runner.train()
        states.append(state(runner))
        forwards.append(len(calls))
    assert same(*states)
    assert forwards == [3, 6]


def moved_by_training(runner):
    """Names in the state dict that a training changes."""
    before = state(runner)
    runner.train()
    after = state(runner)
    return {n for n in before if not torch.equal(before[n], after[n])}


def test_inside_the_backbone_under_a_runner(tmp_path, capsys):
    runner = make_runner(tmp_path, inside(), count=12)
    moved = moved_by_training(runner)
    module, = dsts_modules(runner.model)
    assert {f'backbone.dsts.{n}' for n, _ in module.named_parameters()
            } <= moved
    assert len(logged(runner, 'upstream_loss')) == 3
    message = 'a second time in every iteration, because DSTS modules are'
    assert capsys.readouterr().out.count(message) == 1


def test_behind_a_layer_under_a_runner(tmp_path):
    model = specialize(slowonly(), layer='layer3', channels=64)
    runner = make_runner(tmp_path, model, count=12)
    moved = moved_by_training(runner)
    module, = dsts_modules(runner.model)
    assert {f'cls_head.dsts.0.{n}' for n, _ in module.named_parameters()
            } <= moved
    assert len(logged(runner, 'upstream_loss')) == 3
    assert len(logged(runner, 'loss_dsts_balance')) == 3


def test_compiled_train_step_trains_as_an_ordinary_one(tmp_path, capsys):
    states = []
    for compiled in (False, dict(backend='eager')):
        runner = make_runner(
            tmp_path / str(bool(compiled)), count=8,
            cfg=dict(compile=compiled))
        runner.train()
        states.append(state(runner))
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name])
    assert capsys.readouterr().out.count('train_step is compiled') == 1


def test_split_takes_whole_samples():
    features = torch.arange(24.).view(12, 2), torch.arange(6.)
    reached = Samples(features, list('abcdef'), dict(a=1))
    first, second = reached.split(2)
    assert first.data_samples == ['a', 'b']
    assert second.data_samples == list('cdef')
    assert [len(f) for f in first.features] == [4, 2]
    assert torch.equal(second.features[1], torch.arange(2., 6.))
    assert first.options == dict(a=1)
    with pytest.raises(ValueError, match='cannot be halved by sample'):
        Samples(torch.zeros(7, 2), [0, 1], {}).split(1)


@pytest.mark.parametrize('samples, repeats, expected', [
    (8, 1, 4), (7, 1, 3), (2, 1, 1), (1, 1, 0), (8, 2, 4), (6, 2, 2),
    (4, 4, 0), (12, 4, 4)])
def test_half(samples, repeats, expected):
    assert half(samples, repeats) == expected
