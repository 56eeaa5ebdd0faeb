"""What is broken in the host packages, and what carries it.

:func:`apply` runs when this package is imported, before ``mmaction.models``
is, in every process that imports it (training, launched ranks, tools).
Each function below carries one defect and says what causes it:

- :func:`provide_drn`: mmaction2 1.2.0 cannot import ``mmaction.models``.
  Does nothing where the standard finders find the real ``drn`` package.
- :func:`carry_multimodal`: mmaction2 1.2.0 cannot import ``mmaction.models``
  beside transformers 5, or any from 4.28 on without timm. Does nothing where
  VindLU can be imported, or is not asked for.
- :func:`allow_checkpoint_globals`: torch >= 2.6 refuses the checkpoints of
  MMEngine. Does nothing with an older torch.
- :func:`carry_cpu_amp`: ``--amp`` needs a GPU, in mmengine 0.10.7 and
  before. Does nothing where there is any accelerator.
- :func:`carry_bfloat16_scores`: mmaction2 1.2.0 makes numpy arrays of
  bfloat16 scores. Does nothing to scores of another type.
- :func:`carry_cpu_launch`: ``--launcher`` needs a GPU, in mmengine 0.10.7
  and before. Does nothing where there is any accelerator.
- :func:`carry_compile`: ``compile=True`` fails, in mmengine 0.10.7 and
  before. Does nothing unless a config asks for it.
- :func:`carry_missing_pretrained`: three backbones of mmaction2 1.2.0 load
  ``pretrained=None``. Does nothing where a checkpoint is named.
- :func:`carry_collate_scope`: configs that inherit a ``collate_fn`` cannot
  load data, in mmengine 0.10.7 and before. Does nothing to a ``collate_fn``
  without MMEngine's mark.
- :func:`carry_truncated_avi`: decord 0.6.0 crashes on a truncated AVI. Does
  nothing to other files and other storage.
"""
import functools
import importlib.machinery
import importlib.util
import math
import os.path as osp
import pickle
import re
import sys
import warnings
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType
from typing import Any

import numpy as np
import torch

# First and last version of each host that the test suite has run with; a
# bound of two numbers stands for all patch releases.
TESTED: dict[str, tuple[str, str]] = {
    'mmaction2': ('1.2.0', '1.2.0'),
    'mmengine': ('0.10.0', '0.10.7'),
    'mmcv': ('2.0.1', '2.1.0'),
    'torch': ('2.6', '2.13'),
    'numpy': ('1.26', '1.26'),
}

_applied = False


def apply() -> None:
    """Make the installed host packages usable; a second call does nothing.

    Raises:
        ImportError: If mmcv or ``pkg_resources`` is not installed.
    """
    global _applied
    if _applied:
        return
    check_requirements()
    provide_drn()
    carry_multimodal()
    warn_untested()
    allow_checkpoint_globals()
    carry_cpu_amp()
    carry_bfloat16_scores()
    carry_cpu_launch()
    carry_compile()
    carry_missing_pretrained()
    carry_collate_scope()
    carry_truncated_avi()
    _applied = True


def _replace(owner: Any, name: str, make: Callable[..., Callable]) -> None:
    """Set ``owner.name`` to ``make(original)``, once."""
    original = getattr(owner, name)
    if getattr(original, '_dsts_compat', False):
        return
    replacement = functools.wraps(original)(make(original))
    replacement._dsts_compat = True
    setattr(owner, name, replacement)


def _on_cpu() -> bool:
    """Whether MMEngine finds no accelerator and trains on the CPU."""
    from mmengine.device import get_device
    return get_device() == 'cpu'


# --------------------------------------------------------------- versions


def check_requirements() -> None:
    """Check for what the hosts import and pip may have left out.

    mmcv comes in two packages that exclude each other, so this package
    requires neither. setuptools 82 dropped ``pkg_resources``, which mmengine
    imports to resolve ``_base_ = 'mmaction::...'``.

    Raises:
        ImportError: If mmcv or ``pkg_resources`` is missing.
    """
    if importlib.util.find_spec('mmcv') is None:
        raise ImportError(
            'dsts_mmaction needs mmcv, which is not installed: install '
            '"dsts_mmaction[lite]" (no compiled operators) or the full mmcv '
            '(>=2.0.0rc4, <2.2.0).')
    if importlib.util.find_spec('pkg_resources') is None:
        raise ImportError(
            'mmengine needs pkg_resources, which is not installed '
            '(setuptools 82 and newer do not have it): install '
            '"setuptools<82".')


def warn_untested() -> None:
    """Warn of each host whose version is outside :data:`TESTED`."""
    for host, version in _host_versions().items():
        first, last = TESTED[host]
        if not _within(version, first, last):
            tested = first if first == last else f'{first} to {last}'
            warnings.warn(f'dsts_mmaction was tested with {host} {tested}, '
                          f'and {version} is installed.', stacklevel=2)


def _host_versions() -> dict[str, str]:
    import mmcv
    import mmengine
    from mmaction.version import __version__ as mmaction_version
    return {
        'mmaction2': mmaction_version,
        'mmengine': mmengine.__version__,
        'mmcv': mmcv.__version__,
        'torch': str(torch.__version__),
        'numpy': np.__version__,
    }


def _within(version: str, first: str, last: str) -> bool:
    """Compare as many numbers of the version as each bound has."""

    def numbers(text: str) -> tuple[int, ...]:
        release = re.match(r'\d+(\.\d+)*', text)
        return tuple(int(n) for n in release.group().split('.'))

    low, high, found = numbers(first), numbers(last), numbers(version)
    return low <= found[:len(low)] and found[:len(high)] <= high


# ----------------------------------------------------- the missing package

_DRN = 'mmaction.models.localizers.drn'


def provide_drn() -> None:
    """Stand in for ``mmaction.models.localizers.drn`` where it is missing.

    The folder has no ``__init__.py`` in the source of mmaction2 1.2.0, so
    the wheel lacks it and ``import mmaction.models`` fails. The finder goes
    to the end of ``sys.meta_path``: it is asked only for what the standard
    finders did not find.
    """
    if not any(type(finder).__name__ == '_DRNFinder'
               for finder in sys.meta_path):
        sys.meta_path.append(_DRNFinder())


class _DRNFinder(MetaPathFinder, Loader):
    """Finds and makes the packages ``drn`` and ``drn.drn``."""

    def find_spec(self,
                  fullname: str,
                  path: Any = None,
                  target: ModuleType | None = None
                  ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in (_DRN, f'{_DRN}.drn'):
            return None
        return importlib.machinery.ModuleSpec(
            fullname, self, is_package=fullname == _DRN)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == _DRN:
            return
        from mmaction.registry import MODELS

        class DRN(torch.nn.Module):
            """Takes the place of the localizer that was not installed."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                raise ImportError(
                    'DRN is not part of the installed mmaction2: install '
                    'mmaction2 from its source tree to use it.')

        DRN.__module__ = module.__name__
        module.DRN = MODELS.register_module(module=DRN)


# ------------------------------------------------------ transformers, timm

_VINDLU = 'mmaction.models.multimodal.vindlu'


def carry_multimodal() -> None:
    """Stand in for VindLU where it cannot be imported.

    mmaction2 1.2.0 imports it with its other models as soon as transformers
    4.28 or newer is installed. That fails without timm, and beside
    transformers 5, which dropped names that VindLU imports.
    """
    if not any(isinstance(finder, _VindLUFinder) for finder in sys.meta_path):
        # Before the standard finders: they would find it.
        sys.meta_path.insert(0, _VindLUFinder())


class _VindLUFinder(MetaPathFinder):
    """Finds VindLU's package as ever, and survives that it fails."""

    def find_spec(self,
                  fullname: str,
                  path: Any = None,
                  target: ModuleType | None = None
                  ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _VINDLU:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None:
            spec.loader.exec_module = functools.partial(
                _import_or_stand_in, spec.loader.exec_module)
        return spec


def _import_or_stand_in(import_module: Callable[[ModuleType], None],
                        module: ModuleType) -> None:
    try:
        import_module(module)
    except (ImportError, RuntimeError) as error:  # some of transformers' own
        for name in ('VindLUVQA', 'VindLURetrieval', 'VindLURetrievalMC'):
            _register_stand_in(name, error)


def _register_stand_in(name: str, reason: Exception) -> None:
    from mmaction.registry import MODELS

    def fail(**kwargs: Any) -> None:
        raise ImportError(f'{name} of mmaction2 cannot be imported: {reason}'
                          ) from reason

    MODELS.register_module(name=name, module=fail, force=True)


# ------------------------------------------------------------- checkpoints
#
# torch >= 2.6 unpickles only what it knows (``weights_only=True``), and an
# MMEngine checkpoint also holds HistoryBuffers, numpy arrays and numpy
# scalars. The names they are pickled under lead to the stand-ins below, and
# never to numpy's own functions: the ``__setstate__`` of a numpy dtype takes
# any flags, which turns bytes of the file into object pointers.


def allow_checkpoint_globals() -> None:
    """Let ``torch.load`` read the checkpoints of MMEngine."""
    if _within(str(torch.__version__), '0', '2.5'):
        return
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


# --------------------------------------------------------- mixed precision


def carry_cpu_amp() -> None:
    """Let AmpOptimWrapper run without an accelerator, in bfloat16.

    MMEngine asserts an accelerator, although its ``autocast`` handles the
    CPU. bfloat16 has the range of float32, so losses are not scaled there
    and ``loss_scale`` has no effect.
    """
    from mmengine.optim import AmpOptimWrapper, OptimWrapper

    def make_init(original: Callable) -> Callable:

        def __init__(self,
                     loss_scale: Any = 'dynamic',
                     dtype: Any = None,
                     use_fsdp: bool = False,
                     **kwargs: Any) -> None:
            if not _on_cpu():
                original(self, loss_scale, dtype, use_fsdp, **kwargs)
                return
            if dtype not in (None, 'bfloat16', torch.bfloat16):
                raise ValueError(
                    f'optim_wrapper.dtype is {dtype!r}, but without a GPU '
                    "mixed precision allows only 'bfloat16'.")
            OptimWrapper.__init__(self, **kwargs)
            self._scale_update_param = None
            if hasattr(torch.amp, 'GradScaler'):
                self.loss_scaler = torch.amp.GradScaler('cpu', enabled=False)
            else:  # torch < 2.3
                self.loss_scaler = torch.cuda.amp.GradScaler(enabled=False)
            self.cast_dtype = torch.bfloat16

        return __init__

    def make_state_dict(original: Callable) -> Callable:

        def state_dict(self) -> dict:
            state = original(self)
            # A scaler that is off has no state, and one that is on refuses
            # an empty one: leave it out, so that a GPU can resume.
            if not state['loss_scaler']:
                del state['loss_scaler']
            return state

        return state_dict

    _replace(AmpOptimWrapper, '__init__', make_init)
    _replace(AmpOptimWrapper, 'state_dict', make_state_dict)


def carry_bfloat16_scores() -> None:
    """Give MMAction2 float32 where it turns scores into numpy arrays.

    numpy has no bfloat16, so the accuracies logged in training and AccMetric
    fail on the scores that autocast in bfloat16 makes, on any device.
    """
    from mmaction.evaluation import AccMetric
    from mmaction.models.heads import BaseHead, OmniHead, RGBPoseHead

    def make_loss(original: Callable) -> Callable:

        def loss(self, cls_scores: Any, *args: Any, **kwargs: Any) -> dict:
            return original(self, _float32(cls_scores), *args, **kwargs)

        return loss

    def make_process(original: Callable) -> Callable:

        def process(self, data_batch: Any, data_samples: Any) -> None:
            samples = [
                dict(sample, pred_score=_float32(sample['pred_score']))
                for sample in data_samples
            ]
            original(self, data_batch, samples)

        return process

    _replace(BaseHead, 'loss_by_feat', make_loss)
    _replace(OmniHead, 'loss_by_feat', make_loss)
    _replace(RGBPoseHead, 'loss_by_scores', make_loss)
    _replace(AccMetric, 'process', make_process)


def _float32(scores: Any) -> Any:
    """Tensors of bfloat16, also in a dict, as float32; others unchanged."""
    if isinstance(scores, dict):
        return {name: _float32(score) for name, score in scores.items()}
    if isinstance(scores, torch.Tensor) and scores.dtype == torch.bfloat16:
        return scores.float()
    return scores


# ------------------------------------------------- launched without a GPU


def carry_cpu_launch() -> None:
    """Let ``--launcher`` work without an accelerator.

    MMEngine selects a CUDA device for each rank and names it to the model
    wrapper; torch refuses both for a model on the CPU.
    """
    from mmengine.dist import utils
    from mmengine.model import MMDistributedDataParallel

    def make_init_dist(original: Callable) -> Callable:

        def init_dist(backend: str, *args: Any, **kwargs: Any) -> None:
            if not _on_cpu():
                original(backend, *args, **kwargs)
                return
            if backend == 'nccl':
                raise ValueError(
                    "env_cfg.dist_cfg.backend is 'nccl', which needs GPUs, "
                    "and there is none: set it to 'gloo'.")
            set_device = torch.cuda.set_device
            torch.cuda.set_device = lambda device: None
            try:
                original(backend, *args, **kwargs)
            finally:
                torch.cuda.set_device = set_device

        return init_dist

    def make_init(original: Callable) -> Callable:

        def __init__(self, module: torch.nn.Module, *args: Any,
                     **kwargs: Any) -> None:
            if _on_cpu():
                kwargs.pop('device_ids', None)
            original(self, module, *args, **kwargs)

        return __init__

    for name in ('_init_dist_pytorch', '_init_dist_mpi', '_init_dist_slurm'):
        _replace(utils, name, make_init_dist)
    _replace(MMDistributedDataParallel, '__init__', make_init)


# ------------------------------------------------------------- compilation


def carry_compile() -> None:
    """Keep the optimizer step out of a compiled ``train_step``.

    Dynamo fails in OptimWrapper's context managers and counters. The step is
    excluded when the Runner is about to compile: doing it at import would
    load dynamo, about two seconds, in every process.
    """
    from mmengine.runner import Runner

    def make_maybe_compile(original: Callable) -> Callable:

        def _maybe_compile(self, target: str) -> None:
            compiles = self.cfg.get('compile') not in (None, False)
            if compiles and target == 'train_step':
                wrapper = self.optim_wrapper
                wrapper.update_params = torch.compiler.disable(
                    wrapper.update_params)
            original(self, target)

        return _maybe_compile

    _replace(Runner, '_maybe_compile', make_maybe_compile)


# ------------------------------------------------------------- pretraining


def carry_missing_pretrained() -> None:
    """Take ``pretrained=None`` for no pretraining, whatever pretrained2d.

    These backbones look only at ``pretrained2d``, which is on by default,
    and then load a checkpoint named None.
    """
    from mmaction.models import backbones

    def make_init_weights(original: Callable) -> Callable:

        def init_weights(self) -> None:
            if self.pretrained2d and not self.pretrained:
                self.pretrained2d = False
            original(self)

        return init_weights

    for backbone in (backbones.ResNetTSM, backbones.MobileNetV2TSM,
                     backbones.SwinTransformer3D):
        _replace(backbone, 'init_weights', make_init_weights)


# ------------------------------------------------------------- dataloaders


def carry_collate_scope() -> None:
    """Keep MMEngine's mark of inherited dicts out of ``collate_fn``.

    What comes from ``_base_ = 'mmaction::…'`` is marked with ``_scope_``, and
    the Runner passes all options of ``collate_fn`` on to the function:
    MMAction2's MViT configs have one.
    """
    from mmengine.runner import Runner

    def make_build_dataloader(original: Callable) -> Callable:

        def build_dataloader(dataloader: Any, *args: Any,
                             **kwargs: Any) -> Any:
            if isinstance(dataloader, dict):
                collate = dataloader.get('collate_fn')
                if isinstance(collate, dict) and '_scope_' in collate:
                    dataloader = dict(dataloader, collate_fn={
                        key: value for key, value in collate.items()
                        if key != '_scope_'})
            return original(dataloader, *args, **kwargs)

        return build_dataloader

    _replace(Runner, 'build_dataloader', make_build_dataloader)
    # It is called on Runners.
    Runner.build_dataloader = staticmethod(Runner.build_dataloader)


# ---------------------------------------------------------------- decoding


def carry_truncated_avi() -> None:
    """Open AVI files on disk by their path.

    decord 0.6.0 ends the process with a segmentation fault on a truncated
    AVI opened from memory, which is how DecordInit opens every file; by its
    path it decodes what there is.
    """
    from mmaction.datasets.transforms import DecordInit

    def make_get_reader(original: Callable) -> Callable:

        def _get_video_reader(self, filename: str) -> Any:
            if self.io_backend == 'disk' and osp.isfile(filename) \
                    and filename.lower().endswith('.avi'):
                import decord
                return decord.VideoReader(
                    filename, num_threads=self.num_threads)
            return original(self, filename)

        return _get_video_reader

    _replace(DecordInit, '_get_video_reader', make_get_reader)
