"""Loading the checkpoints of MMEngine, without executing what they hold.

torch unpickles only what it knows, and an MMEngine checkpoint also holds
HistoryBuffers, numpy arrays and numpy scalars. The names they are pickled
under lead to the stand-ins below, and never to numpy's own functions: the
``__setstate__`` of a numpy dtype takes any flags, which turns bytes of the
file into object pointers.
"""
import math
import pickle
import re
from collections.abc import Callable

import numpy as np
import torch


def patch_loading() -> None:
    """Let ``torch.load`` read the checkpoints of MMEngine.

    From 2.6 on it refuses them, by its default ``weights_only=True``.
    """
    allowed = [
        (_HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_statistics_method, 'builtins.getattr'),
        (CheckpointArray, 'numpy.ndarray'),
        (_DType, 'numpy.dtype'),
        (_empty_bytes, 'builtins.bytes'),
    ]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed += [(_reconstruct, f'{module}._reconstruct'),
                    (_scalar, f'{module}.scalar')]
    torch.serialization.add_safe_globals(allowed)


class _DType:
    """A numpy dtype of plain numbers or text, as it stands in a pickle."""

    def __init__(self, spec: str, *copy_flags: bool) -> None:
        if not re.fullmatch(r'[biufcSU]\d+', str(spec)):
            raise pickle.UnpicklingError(
                f'numpy dtype {spec!r} is not allowed in a checkpoint: only '
                'bool, integers, floats, complex numbers and text are.')
        self.dtype = np.dtype(spec)

    def __setstate__(self, state: tuple) -> None:
        # The rest of the state is sizes and flags, which the name implies.
        self.dtype = self.dtype.newbyteorder(state[1])


class CheckpointArray(np.ndarray):
    """An array read from a checkpoint; it is saved as a plain ndarray.

    ``torch.load`` fills the array that it made empty, and the type of an
    ndarray cannot be changed afterwards, so the checks need a subclass.
    """

    def __new__(cls) -> 'CheckpointArray':
        """An empty array, as ``torch.load`` asks for it."""
        return super().__new__(cls, (0, ), np.int8)

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, fortran, data = state
        # Filling it again would free memory that others may share by now.
        if hasattr(self, 'filled') or not isinstance(dtype, _DType) \
                or not isinstance(data, bytes) \
                or min(shape, default=0) < 0 \
                or math.prod(shape) * dtype.dtype.itemsize != len(data):
            raise pickle.UnpicklingError(
                'a numpy array in the checkpoint is damaged: its shape, type '
                'and data do not fit.')
        super().__setstate__((version, shape, dtype.dtype, fortran, data))
        self.filled = True

    def __reduce_ex__(self, protocol: int) -> tuple:
        return self.view(np.ndarray).__reduce_ex__(protocol)


def _reconstruct(subtype: type, shape: tuple, typecode: bytes) -> np.ndarray:
    if subtype is not CheckpointArray:
        raise pickle.UnpicklingError(
            f'numpy array type {subtype!r} is not allowed in a checkpoint.')
    return CheckpointArray()


def _scalar(dtype: _DType, data: bytes) -> np.generic:
    if not isinstance(dtype, _DType) or not isinstance(data, bytes) \
            or len(data) != dtype.dtype.itemsize:
        raise pickle.UnpicklingError(
            'a numpy scalar in the checkpoint is damaged: its type and data '
            'do not fit.')
    # An empty text has no bytes to read from a buffer.
    return np.frombuffer(data, dtype.dtype)[0] if data else dtype.dtype.type()


def _empty_bytes() -> bytes:
    # Pickle calls bytes() for the data of an empty array.
    return b''


class _HistoryBuffer:
    """Takes the state of a HistoryBuffer and then becomes one."""

    def __setstate__(self, state: dict) -> None:
        from mmengine.logging import HistoryBuffer
        buffer = HistoryBuffer(max_length=int(state['max_length']))
        for name in ('_log_history', '_count_history'):
            if not isinstance(state[name], CheckpointArray):
                raise pickle.UnpicklingError(
                    f'{name} of a HistoryBuffer in the checkpoint is '
                    f'{type(state[name]).__name__}, not a numpy array.')
            setattr(buffer, name, np.array(state[name]))
        # statistics_methods are class-wide in MMEngine; a file does not
        # change them, this process has registered its own.
        self.__dict__.update(buffer.__dict__)
        self.__class__ = HistoryBuffer


def _statistics_method(owner: type, name: str) -> Callable:
    """``getattr`` for what a pickled HistoryBuffer asks it: its methods."""
    if owner is not _HistoryBuffer or name not in ('min', 'max', 'current',
                                                   'mean'):
        raise pickle.UnpicklingError(
            f'getattr of {name!r} is not allowed in a checkpoint.')
    from mmengine.logging import HistoryBuffer
    return getattr(HistoryBuffer, name)
