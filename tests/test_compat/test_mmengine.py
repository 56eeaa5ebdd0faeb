import mmengine.device
import pytest
import torch
from mmengine.dist import utils
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import AmpOptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from dsts_mmaction.tailor.inheriting import load_as_base
from tests.test_compat.helpers import ToyModel, toy_runner, unpatched

without_gpu = pytest.mark.skipif(
    torch.cuda.is_available(), reason='for machines with CPU')


@pytest.fixture
def gpu(monkeypatch):
    """MMEngine reports an accelerator."""
    monkeypatch.setattr(mmengine.device, 'get_device', lambda: 'cuda')


def amp_wrapper(**kwargs):
    model = ToyModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=.1)
    return model, AmpOptimWrapper(optimizer=optimizer, **kwargs)


@pytest.mark.parametrize('kwargs', [
    {},
    dict(loss_scale=512., dtype='bfloat16'),
    dict(clip_grad=dict(max_norm=1.), accumulative_counts=1),
])
def test_amp_on_cpu(kwargs):
    model, wrapper = amp_wrapper(**kwargs)
    before = model.linear.weight.clone()
    with wrapper.optim_context(model):
        outputs = model([torch.ones(2)])
    assert outputs.dtype == torch.bfloat16
    wrapper.update_params(outputs.square().sum())
    assert not torch.equal(model.linear.weight, before)


def test_amp_state_of_cpu_and_gpu():
    _, wrapper = amp_wrapper()
    state = wrapper.state_dict()
    assert 'loss_scaler' not in state
    # What a GPU saved is resumed without its scale.
    wrapper.load_state_dict(
        dict(state, loss_scaler=dict(scale=2., growth_factor=2.)))


def test_amp_names_a_wrong_dtype():
    with pytest.raises(ValueError, match="dtype is 'float16'"):
        amp_wrapper(dtype='float16')


def test_amp_is_left_alone_on_gpu(gpu):
    if torch.cuda.is_available():
        _, wrapper = amp_wrapper(dtype='float16')
        assert wrapper.loss_scaler.is_enabled()
    else:
        with pytest.raises(AssertionError, match='only available training'):
            amp_wrapper()


@pytest.fixture
def one_rank(monkeypatch):
    for name, value in dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1',
                            MASTER_ADDR='127.0.0.1', MASTER_PORT='0').items():
        monkeypatch.setenv(name, value)
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@without_gpu
def test_launch_on_cpu(one_rank):
    set_device = torch.cuda.set_device
    utils._init_dist_pytorch('gloo')
    assert torch.cuda.set_device is set_device
    model = MMDistributedDataParallel(ToyModel(), device_ids=[0])
    assert model.device_ids is None
    with pytest.raises(ValueError, match='device_ids'):
        unpatched(MMDistributedDataParallel.__init__)(
            model, ToyModel(), device_ids=[0])


@without_gpu
def test_launch_on_cpu_names_the_backend():
    with pytest.raises(ValueError, match="set it to 'gloo'"):
        utils._init_dist_pytorch('nccl')


def test_launch_is_left_alone_on_gpu(gpu, one_rank, monkeypatch):
    devices = []
    monkeypatch.setattr(torch.cuda, 'set_device', devices.append)
    utils._init_dist_pytorch('gloo')
    assert devices == [0]


@pytest.mark.parametrize('option', [dict(backend='eager'), False])
def test_training_that_is_compiled_or_not(tmp_path, option):
    runner = toy_runner(tmp_path, cfg=dict(compile=option))
    runner.train()
    assert ('update_params' in vars(runner.optim_wrapper)) == bool(option)


LOADER = dict(batch_size=2, num_workers=0,
              sampler=dict(type='DefaultSampler', shuffle=False))


def test_collate_functions_of_inherited_configs():
    cfg = load_as_base(
        'mmaction::recognition/mvit/mvit-small-p244_32xb16-16x4x1-200e_'
        'kinetics400-rgb.py')
    collate = cfg.train_dataloader.collate_fn
    assert '_scope_' in collate
    config = dict(LOADER, dataset=[dict(inputs=1)], collate_fn=collate)
    init_default_scope('mmaction')
    with pytest.raises(TypeError, match='_scope_'):
        next(iter(unpatched(Runner.build_dataloader)(config)))
    assert next(iter(Runner.build_dataloader(config)))
    assert '_scope_' in collate, 'the config stays as it is'


def test_other_dataloaders_are_built_as_ever():
    loader = Runner.build_dataloader(dict(LOADER, dataset=[1, 2]))
    assert next(iter(loader)) == [1, 2]
    assert Runner.build_dataloader(loader) is loader
