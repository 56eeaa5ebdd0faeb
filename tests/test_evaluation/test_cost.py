"""What is counted is what runs."""
import copy
import sys
import warnings
from functools import partial

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.registry import init_default_scope

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.deploy.fusing import fuse_dsts
from dsts_mmaction.evaluation.cost import specialized_cost
from dsts_mmaction.models import DSTSModule
from dsts_mmaction.utils.flops import count_flops
from tests.builders import slowfast, specialize, tsm
from tests.reference import dense_forward
from tests.test_tools.test_specialize import run
from tools import count_cost, count_graph_breaks

# Without gates, what runs does not depend on what was chosen.
DSTS = dict(num_neurons=3, num_layers=2, mid_channels=8, gates=False)
CASES = dict(
    tsm=(specialize(tsm(), dsts=DSTS), (1, 8, 3, 32, 32)),
    layer=(specialize(tsm(), dsts=DSTS, layer='layer4', channels=512),
           (1, 8, 3, 32, 32)),
    slowfast=(specialize(slowfast(), dsts=DSTS, channels=(128, 16)),
              (1, 1, 3, 8, 32, 32)))


def build(model):
    init_default_scope('mmaction')
    return MODELS.build(copy.deepcopy(model)).eval()


@pytest.mark.parametrize('name', CASES)
def test_operations_are_those_of_a_forward(name):
    model, shape = CASES[name]
    cost = specialized_cost(Config(dict(model=model)), shape)
    built = build(model)

    def forward(recognizer):
        return count_flops(lambda: recognizer(
            torch.randn(shape), mode='tensor', stage='head'))

    deployed = fuse_dsts(built)
    assert cost.plain_flops + cost.executed_flops == forward(deployed)
    plain = build(dict(model, cls_head=model['cls_head']['head']))
    assert cost.plain_flops == forward(plain)
    count = sum(p.numel() for p in plain.parameters())
    assert cost.plain_parameters == count
    assert cost.stored_parameters == sum(
        p.numel() for p in built.parameters()) - count


@pytest.mark.parametrize('name', CASES)
def test_get_flops_of_mmaction2_counts_both_operators(name):
    """It runs the recognizer as it was trained, not as it is deployed."""
    model, shape = CASES[name]

    def operations(recognizer):
        recognizer.forward = recognizer.extract_feat  # as that tool does
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            counted = FlopAnalyzer(recognizer, torch.randn(shape))
            counted.unsupported_ops_warnings(False)
            flops = counted.by_operator()
        # It counts norms and pooling as well.
        return sum(flops[name] for name in (
            'conv', 'linear', 'bmm', 'baddbmm', 'matmul'))

    plain, special = (build(each) for each in (
        dict(model, cls_head=model['cls_head']['head']), model))
    seen = {}
    for module in dsts_modules(special):
        module.register_forward_pre_hook(
            lambda module, args: seen.update({module: args[0].shape}))
    added = operations(special) - operations(plain)
    assert added == sum(
        count_flops(partial(module, torch.randn(clips)))
        for module, clips in seen.items())


def test_get_flops_of_mmaction2_itself(tmp_path):
    config = tmp_path / 'special.py'
    Config(dict(model=CASES['tsm'][0], custom_imports=dict(
        imports=['dsts_mmaction']))).dump(config)
    done = run('analysis_tools/get_flops.py', config, '--shape', 8, 3, 32,
               32, tool='host_tool.py')
    assert done.returncode == 0, done.stderr
    row, = [line.split('|') for line in done.stdout.splitlines()
            if line.split('|')[1:2] and line.split('|')[1].strip()
            == 'cls_head.dsts.0']
    assert row[3].strip().endswith('M')


def test_stored_is_what_a_dense_forward_runs():
    model, shape = CASES['tsm']
    cost = specialized_cost(Config(dict(model=model)), shape)
    module = DSTSModule(512, **DSTS).eval()
    seen = torch.randn(1, 512, 8, 4, 4)
    assert cost.stored_flops == count_flops(
        lambda: dense_forward(module, seen))


@pytest.mark.parametrize('gates', [True, False])
@pytest.mark.parametrize('shared_kernels', [True, False])
def test_one_neuron_of_each_layer_is_executed(gates, shared_kernels):
    options = dict(DSTS, gates=gates, shared_kernels=shared_kernels)
    cost, single = (specialized_cost(
        Config(dict(model=specialize(tsm(), dsts=each))), (1, 8, 3, 32, 32))
        for each in (options, dict(options, num_neurons=1)))
    # But for the scores of the other neurons and the gates.
    scores = 2 * (3 - 1) * (8 * 4 + 1)
    if gates:
        assert cost.executed_parameters < single.stored_parameters + scores
        assert cost.executed_parameters > (
            single.stored_parameters - 2 * 12 * 8 * 8)
    else:
        assert cost.executed_parameters == single.stored_parameters + scores


def test_the_tool(tmp_path):
    config = tmp_path / 'special.py'
    Config(dict(model=CASES['tsm'][0])).dump(config)
    done = run(config, '--shape', 1, 8, 3, 32, 32, tool='count_cost.py')
    assert done.returncode == 0, done.stderr
    assert 'DSTS, executed' in done.stdout and '1x8x3x32x32' in done.stdout


@pytest.mark.parametrize('tool', [count_cost, count_graph_breaks])
@pytest.mark.parametrize('model, shape, message', [
    (tsm(), '1 8 3 32 32', 'the recognizer has no DSTS module'),
    (specialize(tsm(), dsts=dict(DSTS, deployed=True)), '1 8 3 32 32',
     'the recognizer is deployed already'),
    (CASES['tsm'][0], '8 3 32 32', '--shape of Recognizer2D must be 5 '
     'numbers of 1 or more, batch frames channels height width, got 8 3 32'),
    (CASES['tsm'][0], '0 8 3 32 32', '--shape of Recognizer2D must be 5'),
    (CASES['tsm'][0], '1 6 3 32 32',
     'the recognizer does not take an input of shape 1x6x3x32x32: '),
])
def test_the_tools_refuse_in_a_sentence(tool, model, shape, message,
                                        tmp_path, monkeypatch):
    Config(dict(model=model)).dump(tmp_path / 'special.py')
    monkeypatch.setattr(sys, 'argv', [
        'tool', str(tmp_path / 'special.py'), '--shape', *shape.split()])
    with pytest.raises(SystemExit) as stop:
        tool.main()
    assert str(stop.value).startswith(f'error: {message}')


def test_graph_breaks_are_counted(tmp_path, monkeypatch, capsys):
    config = tmp_path / 'special.py'
    Config(dict(model=CASES['tsm'][0])).dump(config)
    monkeypatch.setattr(sys, 'argv', ['tool', str(config), '--shape',
                                      *['2', '8', '3', '32', '32']])
    count_graph_breaks.main()
    rows = {cells[1].strip(): [int(cell) for cell in cells[2:4]]
            for cells in (line.split('│') for line in
                          capsys.readouterr().out.splitlines())
            if len(cells) == 5}
    assert list(rows.values())[2:] == [[1, 0]] * 3
    training = rows['training losses, DSTS']
    # MMAction2's head breaks it; DSTS adds no more than two frames around:
    # its head's loss, and that from features.
    assert training[1] <= rows['training losses, without DSTS'][1] + 2
