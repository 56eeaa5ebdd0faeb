"""Two ranks against a single-process reference."""
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.udl.hook import INNER_LR_FLOOR
from dsts_mmaction.udl.random_streams import derive_seed, random_streams
from tests.builders import build, specialize, tsm
from tests.reference import DenseLoss, two_step_function
from tests.two_ranks import NOISY

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def ranks(tmp_path_factory):
    """What either rank saw in three iterations."""
    folder = tmp_path_factory.mktemp('ranks')
    command = [sys.executable, '-m', 'torch.distributed.run',
               '--nproc_per_node=2', '--master_port=0', '--standalone',
               '-m', 'tests.two_ranks', str(folder), str(torch.seed() % 1000)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f'rank{rank}.pth') for rank in range(2)]


def test_one_backbone_forward_per_iteration(ranks):
    assert [rank['forwards'] for rank in ranks] == [3, 3]


def test_upstream_parameters_are_identical_on_all_ranks(ranks):
    for a, b in zip(ranks[0]['upstream'], ranks[1]['upstream']):
        assert torch.equal(a, b)
    assert ranks[0]['logged'] == ranks[1]['logged']


def test_a_non_finite_gradient_of_one_rank_is_skipped_by_all(ranks):
    for rank in ranks:
        # In iteration 2, rank 1 has a single sample and rank 0 has two.
        assert list(rank['gradients']) == [0, 2]
        assert rank['skipped'] == dict(non_finite=1, too_few_samples=0)


@pytest.mark.parametrize('iteration, contributing', [(0, (0, 1)), (2, (0, ))])
def test_gradients_are_the_mean_of_each_rank_s_own(ranks, iteration,
                                                   contributing):
    model = build(specialize(tsm(), dsts=NOISY))
    model.load_state_dict(ranks[0]['states'][iteration])
    module, = dsts_modules(model)
    fc = model.cls_head.head.fc_cls
    named = dict(module.named_parameters())
    ids = [id(p) for p in module.upstream_parameters()]
    upstream = {n: p for n, p in named.items() if id(p) in ids}
    downstream = {n: p for n, p in named.items() if id(p) not in ids}

    def classify(features, labels):
        return F.cross_entropy(fc(features.mean((2, 3, 4))), labels)

    gradients = []
    for rank in contributing:
        features, labels = ranks[rank]['samples'][iteration]
        x = features.double().unflatten(0, (len(labels), 8)).transpose(1, 2)
        half = len(labels) // 2
        with random_streams(derive_seed(0, rank, iteration, 0)):
            # The noise of single precision, as the ranks drew it.
            noise = [
                [type(n)(*(t.double() for t in n))
                 for n in module.float().sample_noise(size)]
                for size in (half, len(labels) - half)]
        module.double()
        function, _ = two_step_function(
            DenseLoss(module, classify), upstream, downstream,
            (x[:half], labels[:half], noise[0]),
            (x[half:], labels[half:], noise[1]), INNER_LR_FLOOR)
        gradients.append(torch.autograd.grad(
            function(upstream), list(upstream.values())))
    for rank in ranks:
        kept = rank['gradients'][iteration]
        means = [sum(parts) / len(parts) for parts in zip(*gradients)]
        error = sum((a - b).square().sum() for a, b in zip(kept, means))
        size = sum(mean.square().sum() for mean in means)
        # Single precision; one rank's alone is off by about its size.
        assert error < 1e-4 * size, (error, size)
