import functools
import importlib
import io
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import load_checkpoint

from dsts_mmaction.compat import checkpoints
from tests.test_compat.helpers import ToyModel, toy_runner


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


@pytest.mark.parametrize('name', MALICIOUS)
def test_malicious_checkpoint_is_refused(name):
    with pytest.raises((pickle.UnpicklingError, TypeError)):
        save_and_load(MALICIOUS[name])


def test_flags_of_a_dtype_are_not_taken():
    """numpy itself would take the eight bytes for a pointer."""
    loaded = save_and_load(array((1, ), dtype('i8', 63), b'\1' * 8))
    assert not loaded.dtype.hasobject
    assert loaded.dtype.flags == np.dtype('i8').flags


def test_array_is_filled_once():
    loaded = save_and_load(np.arange(3))
    state = (1, (1, ), checkpoints._DType('i8'), False, b'\0' * 8)
    with pytest.raises(pickle.UnpicklingError, match='damaged'):
        loaded.__setstate__(state)
