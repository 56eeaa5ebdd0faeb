"""Each item of compat: with the defect, and where there is none."""
import functools
import importlib
import importlib.util
import io
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import mmaction
import mmengine.device
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import AmpOptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_checkpoint
from torch import nn

import dsts_mmaction
from dsts_mmaction.compat import hosts as compat
from dsts_mmaction.tailor.inheriting import load_as_base

CHECKOUT = Path(dsts_mmaction.__file__).parents[1]


def unpatched(function):
    """The host's own function behind a replaced one."""
    return function.__wrapped__


def run_python(code, *paths):
    """Run code in a new process with these folders on its path."""
    paths = [*map(str, paths), os.environ.get('PYTHONPATH', '')]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, paths)))
    return subprocess.run([sys.executable, '-W', 'ignore', '-c', code],
                          env=env,
                          cwd='/',
                          capture_output=True,
                          text=True,
                          timeout=120)


@pytest.fixture
def gpu(monkeypatch):
    """MMEngine reports an accelerator."""
    monkeypatch.setattr(mmengine.device, 'get_device', lambda: 'cuda')


class ToyModel(BaseModel):

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, inputs, data_sample=None, mode='tensor'):
        outputs = self.linear(torch.stack(inputs))
        if mode == 'loss':
            return dict(loss=outputs.square().sum())
        return outputs


def toy_runner(work_dir, **kwargs):
    config = dict(
        model=ToyModel(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=[dict(inputs=torch.ones(2), data_sample=1)] * 4,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
            batch_size=2,
            num_workers=0),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.1, momentum=.9)),
        param_scheduler=dict(type='MultiStepLR', milestones=[1]),
        default_scope='mmaction',
        log_level='ERROR',
        experiment_name=f'{work_dir.name}_{len(os.listdir(work_dir))}')
    config.update(kwargs)
    return Runner(**config)


# ------------------------------------------------------------- the whole


def test_apply_twice_changes_nothing_more():
    functions = [
        AmpOptimWrapper.__init__, Runner._maybe_compile,
        MMDistributedDataParallel.__init__
    ]
    finders = list(sys.meta_path)
    compat._applied = False
    compat.apply()
    compat.apply()
    assert sys.meta_path == finders
    assert functions == [
        AmpOptimWrapper.__init__, Runner._maybe_compile,
        MMDistributedDataParallel.__init__
    ]


# -------------------------------------------------------------- versions


@pytest.mark.parametrize('version, inside', [('2.13.0+cpu', True),
                                             ('2.13.9', True),
                                             ('2.12.1', False),
                                             ('2.14.0a0', False),
                                             ('3.0', False)])
def test_within(version, inside):
    assert compat._within(version, '2.13', '2.13') is inside


@pytest.fixture
def hosts(monkeypatch):
    """The first tested version of each host, to be changed."""
    hosts = {host: first for host, (first, _) in compat.TESTED.items()}
    monkeypatch.setattr(compat, '_host_versions', lambda: hosts)
    return hosts


def test_installed_versions_are_found():
    versions = compat._host_versions()
    assert versions.keys() == compat.TESTED.keys()
    assert versions['numpy'] == np.__version__


def test_tested_versions_do_not_warn(hosts):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        compat.warn_untested()


def test_untested_version_warns_once(hosts):
    hosts['numpy'] = '2.4.0'
    with pytest.warns(UserWarning) as records:
        compat.warn_untested()
    assert [str(record.message) for record in records] == [
        'dsts_mmaction was tested with numpy 1.26, and 2.4.0 is installed.'
    ]


@pytest.mark.parametrize('missing, remedy',
                         [('mmcv', r'dsts_mmaction\[lite\]'),
                          ('pkg_resources', 'setuptools<82')])
def test_missing_requirement(monkeypatch, missing, remedy):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name: None
        if name == missing else find_spec(name))
    with pytest.raises(ImportError, match=remedy):
        compat.check_requirements()


# --------------------------------------------------------------- the DRN


def test_drn_stand_in():
    """Skipped where a mmaction2 with the real package is installed."""
    from mmaction.models.localizers.drn import drn
    if hasattr(drn, '__file__'):
        pytest.skip('this mmaction2 has its DRN package')
    assert MODELS.get('DRN') is drn.DRN
    with pytest.raises(ImportError, match='from its source tree'):
        MODELS.build(dict(type='DRN', vocab_size=1))


def copy_of_mmaction(root, package):
    """A copy, of links, with an empty folder in place of one package."""
    own = root / 'mmaction' / package
    own.mkdir(parents=True)
    real = Path(mmaction.__file__).parent
    for folder in Path(package).parents:
        for entry in (real / folder).iterdir():
            link = root / 'mmaction' / folder / entry.name
            if entry.name != '__pycache__' and not link.exists():
                link.symlink_to(entry)
    return own


def test_real_drn_is_not_hidden(tmp_path):
    drn = copy_of_mmaction(tmp_path, 'models/localizers/drn')
    localizers = drn.parent
    (drn / 'drn.py').write_text('class DRN:\n    real = True\n')
    code = ('from dsts_mmaction.compat import hosts; hosts.provide_drn()\n'
            'import mmaction.models.localizers as localizers\n'
            'print(localizers.__file__, localizers.DRN.real)')
    done = run_python(code, tmp_path, CHECKOUT)
    assert done.stdout.split() == [str(localizers / '__init__.py'),
                                   'True'], done.stderr


# ---------------------------------------------------- transformers, timm


@pytest.fixture
def other_transformers(tmp_path):
    """A folder with a transformers that lacks what VindLU imports."""
    info = tmp_path / 'transformers-5.0.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: transformers\nVersion: 5.0.0\n')
    (tmp_path / 'transformers.py').write_text('')
    return tmp_path


@pytest.mark.parametrize('name', ['VindLUVQA', 'VindLURetrieval',
                                  'VindLURetrievalMC'])
def test_models_beside_other_transformers(other_transformers, name):
    done = run_python(
        'import dsts_mmaction, mmaction.models\n'
        'from mmaction.registry import MODELS\n'
        'assert "TSMHead" in MODELS\n'
        f'MODELS.build(dict(type="{name}", model_cfg={{}}))',
        other_transformers, CHECKOUT)
    reason = f'ImportError: {name} of mmaction2 cannot be imported: '
    assert reason in done.stderr
    assert 'transformers' in done.stderr.rpartition(reason)[2]


def test_real_vindlu_is_not_hidden(other_transformers):
    vindlu = copy_of_mmaction(other_transformers,
                              'models/multimodal/vindlu')
    (vindlu / '__init__.py').write_text('VindLUVQA = 1\n')
    done = run_python(
        'import dsts_mmaction\n'
        'from mmaction.models import VindLUVQA, multimodal\n'
        'from mmaction.registry import MODELS\n'
        'print(multimodal.__file__, VindLUVQA, "VindLUVQA" in MODELS)',
        other_transformers, CHECKOUT)
    assert done.stdout.split() == [
        str(vindlu.parent / '__init__.py'), '1', 'False'], done.stderr


def test_other_errors_of_vindlu_are_told(other_transformers):
    vindlu = copy_of_mmaction(other_transformers,
                              'models/multimodal/vindlu')
    (vindlu / '__init__.py').write_text('1 / 0\n')
    done = run_python('import dsts_mmaction', other_transformers, CHECKOUT)
    assert 'ZeroDivisionError' in done.stderr


def test_import_alone_is_enough_and_loads_no_dynamo():
    """Some versions of the hosts load dynamo themselves."""
    done = run_python(
        'import sys, mmengine.runner, mmaction.datasets\n'
        'before = "torch._dynamo" in sys.modules\n'
        'import dsts_mmaction, mmaction.models\n'
        'print(before == ("torch._dynamo" in sys.modules))', CHECKOUT)
    assert done.stdout.split() == ['True'], done.stderr


# ----------------------------------------------------------- checkpoints


needs_allow_list = pytest.mark.skipif(
    compat._within(str(torch.__version__), '0', '2.5'),
    reason='this torch loads everything')


def save_and_load(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file)


@pytest.fixture
def nothing_allowed():
    """torch.load as it is without compat."""
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.add_safe_globals(allowed)


def test_runner_resumes_with_ema(tmp_path):
    hooks = [dict(type='EMAHook')]
    runner = toy_runner(tmp_path, custom_hooks=hooks)
    runner.message_hub.update_info('best', np.float64(.5))
    runner.message_hub.update_info('curve', np.arange(3.))
    runner.train()
    resumed = toy_runner(
        tmp_path,
        custom_hooks=hooks,
        resume=True,
        load_from=str(tmp_path / 'epoch_1.pth'),
        train_cfg=dict(by_epoch=True, max_epochs=2))
    resumed.train()
    assert resumed.epoch == 2
    losses = resumed.message_hub.get_scalar('train/loss')
    assert type(losses) is HistoryBuffer
    assert type(losses._log_history) is np.ndarray
    # Two iterations of the first run, two of the second.
    assert len(losses._log_history) == 4
    assert losses.statistics('mean', 2) > 0
    assert type(resumed.message_hub.get_info('best')) is np.float64
    assert resumed.message_hub.get_info('curve').tolist() == [0, 1, 2]
    load_checkpoint(ToyModel(), str(tmp_path / 'epoch_2.pth'), strict=True)


@needs_allow_list
def test_checkpoint_fails_without_compat(nothing_allowed):
    with pytest.raises(pickle.UnpicklingError, match='weights_only'):
        save_and_load(HistoryBuffer([1.], [1]))


@pytest.mark.parametrize('array', [
    np.arange(6).reshape(2, 3),
    np.asfortranarray(np.random.rand(3, 2)),
    np.arange(3, dtype='>i2'),
    np.array(['a', 'bcd']),
    np.array([True]),
    np.zeros((0, 2), np.complex64),
    np.array(2.5),
],
                         ids=lambda array: str(array.dtype))
def test_arrays(array):
    loaded = save_and_load(array)
    # numpy unpickles swapped bytes into the order of the machine.
    assert loaded.dtype == pickle.loads(pickle.dumps(array, 2)).dtype
    np.testing.assert_array_equal(loaded, array)
    # It goes into the next checkpoint as what it was.
    assert type(pickle.loads(pickle.dumps(loaded))) is np.ndarray


@pytest.mark.parametrize(
    'scalar',
    [np.float32(.1), np.int64(-3),
     np.bool_(True), np.str_('a'),
     np.str_('')],
    ids=repr)
def test_scalars(scalar):
    loaded = save_and_load(scalar)
    assert type(loaded) is type(scalar) and loaded == scalar


@needs_allow_list
def test_numpy_2_names():
    """What numpy 2 writes is read, whichever numpy reads it."""
    file = io.BytesIO()
    torch.save(np.arange(3), file)
    data = file.getvalue()
    names = b'numpy.core.multiarray', b'numpy._core.multiarray'
    old, new = names if names[0] in data else names[::-1]
    with pytest.MonkeyPatch.context() as patch:
        # Pickled globals are looked up again: let the new name exist.
        module = importlib.import_module(old.decode())
        patch.setitem(sys.modules, new.decode(), module)
        patch.setattr(module._reconstruct, '__module__', new.decode())
        file = io.BytesIO()
        torch.save(np.arange(3), file)
    assert new in file.getvalue()
    file.seek(0)
    assert torch.load(file).tolist() == [0, 1, 2]


class Reduced:
    """Pickled as a call, with a state to set on what the call returns."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced

    def __call__(self):
        """Pickle asks only whether what it writes a call of is callable."""


def dtype(spec, flags, size=-1):
    return Reduced(np.dtype, (spec, False, True),
                   (3, '<', None, None, None, size, -1, flags))


def array(shape, dtype, data):
    return Reduced(np.core.multiarray._reconstruct,
                   (np.ndarray, (0, ), b'b'), (1, shape, dtype, False, data))


MALICIOUS = dict(
    eval=Reduced(eval, ('1', )),
    exec=Reduced(exec, ('1', )),
    system=Reduced(os.system, ('true', )),
    import_module=Reduced(__import__, ('os', )),
    partial=Reduced(functools.partial, (print, )),
    getattr_of_object=Reduced(getattr, ('text', 'upper')),
    getattr_of_class=Reduced(getattr, (dict, 'fromkeys')),
    getattr_of_buffer=Reduced(getattr, (HistoryBuffer, '__init__')),
    getattr_of_getattr=Reduced(getattr, (getattr, '__globals__')),
    call_of_method=Reduced(
        Reduced(getattr, (HistoryBuffer, 'mean')), (HistoryBuffer, )),
    object_array=np.array([{}], dtype=object),
    object_pointers=array((1, ), dtype('O8', 0), b'\1' * 8),
    structured=np.zeros(1, dtype=[('a', 'i4')]),
    too_little_data=array((9, ), dtype('i8', 0), b'\0' * 8),
    negative_shape=array((-1, -1), dtype('i8', 0), b'\0' * 8),
    list_data=array((1, ), dtype('i8', 0), [1]),
    uninitialised=Reduced(np.ndarray, ((9, ), )),
    object_scalar=Reduced(np.core.multiarray.scalar,
                          (dtype('O8', 0), b'\1' * 8)),
    short_scalar=Reduced(np.core.multiarray.scalar,
                         (dtype('i8', 0), b'\1')),
    buffer_of_lists=Reduced(
        HistoryBuffer, (),
        dict(max_length=1, _log_history=[1], _count_history=[1])),
    bytes_of_any_size=Reduced(bytes, (9, )),
)


@needs_allow_list
@pytest.mark.parametrize('name', MALICIOUS)
def test_malicious_checkpoint_is_refused(name):
    with pytest.raises((pickle.UnpicklingError, TypeError)):
        save_and_load(MALICIOUS[name])


@needs_allow_list
def test_flags_of_a_dtype_are_not_taken():
    """numpy itself would take the eight bytes for a pointer."""
    loaded = save_and_load(array((1, ), dtype('i8', 63), b'\1' * 8))
    assert not loaded.dtype.hasobject
    assert loaded.dtype.flags == np.dtype('i8').flags


@needs_allow_list
def test_array_is_filled_once():
    loaded = save_and_load(np.arange(3))
    state = (1, (1, ), compat._DType('i8'), False, b'\0' * 8)
    with pytest.raises(pickle.UnpicklingError, match='damaged'):
        loaded.__setstate__(state)


# ------------------------------------------------------- mixed precision


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


def labelled(label, **kwargs):
    sample = ActionDataSample().set_gt_label(label)
    for name, value in kwargs.items():
        sample.set_field(value, name)
    return sample


def tsn_head():
    return MODELS.build(
        dict(type='TSNHead', num_classes=3, in_channels=4, topk=1))


def test_bfloat16_scores_in_head():
    head, samples = tsn_head(), [labelled(0), labelled(2)]
    scores = torch.tensor([[9., 0, 0], [9., 0, 0]], dtype=torch.bfloat16)
    with pytest.raises(TypeError, match='BFloat16'):
        unpatched(type(head).loss_by_feat)(head, scores, samples)
    losses = head.loss_by_feat(scores, samples)
    assert losses['top1_acc'] == .5
    assert losses['loss_cls'].dtype == torch.float32


def test_other_scores_in_head_are_unchanged():
    for scores in (torch.ones(1), torch.ones(1, dtype=torch.float16), None):
        assert compat._float32(scores) is scores


@pytest.mark.parametrize('named', [False, True])
def test_bfloat16_scores_in_metric(named):
    from mmaction.evaluation import AccMetric
    scores = torch.tensor([0., 1, 0], dtype=torch.bfloat16)
    sample = labelled(
        1, pred_score=dict(rgb=scores) if named else scores).to_dict()
    metric = AccMetric(metric_options=dict(top_k_accuracy=dict(topk=(1, ))))
    with pytest.raises(TypeError, match='BFloat16'):
        unpatched(AccMetric.process)(metric, None, [sample])
    metric.process(None, [sample])
    result = metric.compute_metrics(metric.results)
    assert result['rgb_top1' if named else 'top1'] == 1
    # The caller's sample is not touched.
    assert scores.dtype == torch.bfloat16


# ------------------------------------------------------------- launching


@pytest.fixture
def one_rank(monkeypatch):
    for name, value in dict(
            RANK='0',
            LOCAL_RANK='0',
            WORLD_SIZE='1',
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT='0').items():
        monkeypatch.setenv(name, value)
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines with CPU')
def test_launch_on_cpu(one_rank):
    from mmengine.dist import utils
    set_device = torch.cuda.set_device
    utils._init_dist_pytorch('gloo')
    assert torch.cuda.set_device is set_device
    model = MMDistributedDataParallel(ToyModel(), device_ids=[0])
    assert model.device_ids is None
    with pytest.raises(ValueError, match='device_ids'):
        unpatched(MMDistributedDataParallel.__init__)(
            model, ToyModel(), device_ids=[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines with CPU')
def test_launch_on_cpu_names_the_backend():
    from mmengine.dist import utils
    with pytest.raises(ValueError, match="set it to 'gloo'"):
        utils._init_dist_pytorch('nccl')


def test_launch_is_left_alone_on_gpu(gpu, one_rank, monkeypatch):
    from mmengine.dist import utils
    devices = []
    monkeypatch.setattr(torch.cuda, 'set_device', devices.append)
    utils._init_dist_pytorch('gloo')
    assert devices == [0]


# ----------------------------------------------------------- compilation


def test_compiled_training(tmp_path):
    runner = toy_runner(tmp_path, cfg=dict(compile=dict(backend='eager')))
    runner.train()
    assert 'update_params' in vars(runner.optim_wrapper)


def test_training_that_is_not_compiled(tmp_path):
    runner = toy_runner(tmp_path, cfg=dict(compile=False))
    runner.train()
    assert 'update_params' not in vars(runner.optim_wrapper)


# ----------------------------------------------------------- pretraining

BACKBONES = [
    dict(type='ResNetTSM', depth=18),
    dict(type='MobileNetV2TSM'),
    dict(
        type='SwinTransformer3D',
        arch=dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4)),
]


@pytest.mark.parametrize('config', BACKBONES, ids=lambda c: c['type'])
def test_no_checkpoint_is_no_pretraining(config):
    backbone = MODELS.build(dict(config, pretrained=None))
    with pytest.raises(TypeError):
        unpatched(type(backbone).init_weights)(backbone)
    backbone.init_weights()


def test_checkpoint_is_still_loaded(tmp_path):
    config = dict(type='ResNetTSM', depth=18)
    weights = MODELS.build(dict(config, is_shift=False)).state_dict()
    torch.save(weights, tmp_path / 'resnet.pth')
    backbone = MODELS.build(
        dict(config, pretrained=str(tmp_path / 'resnet.pth')))
    backbone.init_weights()
    torch.testing.assert_close(backbone.layer1[0].conv1.conv.net.weight,
                               weights['layer1.0.conv1.conv.weight'])


# -------------------------------------------------------------- decoding


@pytest.mark.parametrize('suffix, codec', [('.avi', 'XVID'),
                                           ('.mp4', 'mp4v')])
def test_video_reader(tmp_path, suffix, codec):
    import cv2
    from mmaction.datasets.transforms import DecordInit
    path = tmp_path / f'video{suffix}'
    video = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*codec), 25, (32, 32))
    noise = np.random.default_rng(0)
    for _ in range(20):
        video.write(noise.integers(0, 255, (32, 32, 3), np.uint8))
    video.release()

    transform = DecordInit()
    reader = transform._get_video_reader(str(path))
    own = unpatched(DecordInit._get_video_reader)(transform, str(path))
    np.testing.assert_array_equal(reader[:].asnumpy(), own[:].asnumpy())

    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2])
    if suffix == '.avi':
        assert 0 < len(transform._get_video_reader(str(path))) < 20
    else:
        with pytest.raises(RuntimeError):
            transform._get_video_reader(str(path))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        transform._get_video_reader(str(path))


def test_collate_functions_of_inherited_configs(tmp_path):
    cfg = load_as_base(
        'mmaction::recognition/mvit/mvit-small-p244_32xb16-16x4x1-200e_'
        'kinetics400-rgb.py')
    collate = cfg.train_dataloader.collate_fn
    assert '_scope_' in collate
    config = dict(dataset=[dict(inputs=1)], batch_size=1, num_workers=0,
                  sampler=dict(type='DefaultSampler', shuffle=False),
                  collate_fn=collate)
    init_default_scope('mmaction')
    with pytest.raises(TypeError, match='_scope_'):
        next(iter(unpatched(Runner.build_dataloader)(config)))
    assert next(iter(Runner.build_dataloader(config)))
    assert '_scope_' in collate, 'the config stays as it is'


def test_other_dataloaders_are_built_as_ever():
    config = dict(dataset=[1, 2], batch_size=2, num_workers=0,
                  sampler=dict(type='DefaultSampler', shuffle=False))
    assert next(iter(Runner.build_dataloader(config))) == [1, 2]
    loader = Runner.build_dataloader(config)
    assert Runner.build_dataloader(loader) is loader
