"""What is broken in mmengine."""
from collections.abc import Callable
from typing import Any

import torch

from .replacing import replaces


def _on_cpu() -> bool:
    """Whether MMEngine finds no accelerator and trains on the CPU."""
    from mmengine.device import get_device
    return get_device() == 'cpu'


def patch_cpu_amp() -> None:
    """Let AmpOptimWrapper run without an accelerator, in bfloat16.

    MMEngine asserts an accelerator, although its ``autocast`` handles the
    CPU. bfloat16 has the range of float32, so losses are not scaled there
    and ``loss_scale`` has no effect.
    """
    from mmengine.optim import AmpOptimWrapper, OptimWrapper

    @replaces(AmpOptimWrapper, '__init__')
    def __init__(original: Callable, self: Any, loss_scale: Any = 'dynamic',
                 dtype: Any = None, use_fsdp: bool = False,
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
        self.loss_scaler = torch.amp.GradScaler('cpu', enabled=False)
        self.cast_dtype = torch.bfloat16

    @replaces(AmpOptimWrapper, 'state_dict')
    def state_dict(original: Callable, self: Any) -> dict:
        state = original(self)
        # A scaler that is off has no state, and one that is on refuses an
        # empty one: leave it out, so that a GPU can resume.
        if not state['loss_scaler']:
            del state['loss_scaler']
        return state


def patch_cpu_launch() -> None:
    """Let ``--launcher`` work without an accelerator.

    MMEngine selects a CUDA device for each rank and names it to the model
    wrapper; torch refuses both for a model on the CPU.
    """
    from mmengine.dist import utils
    from mmengine.model import MMDistributedDataParallel

    def init_dist(original: Callable, backend: str, *args: Any,
                  **kwargs: Any) -> None:
        if not _on_cpu():
            original(backend, *args, **kwargs)
            return
        if backend == 'nccl':
            raise ValueError(
                "env_cfg.dist_cfg.backend is 'nccl', which needs GPUs, and "
                "there is none: set it to 'gloo'.")
        set_device = torch.cuda.set_device
        torch.cuda.set_device = lambda device: None
        try:
            original(backend, *args, **kwargs)
        finally:
            torch.cuda.set_device = set_device

    for name in ('_init_dist_pytorch', '_init_dist_mpi', '_init_dist_slurm'):
        replaces(utils, name)(init_dist)

    @replaces(MMDistributedDataParallel, '__init__')
    def __init__(original: Callable, self: Any, module: torch.nn.Module,
                 *args: Any, **kwargs: Any) -> None:
        if _on_cpu():
            kwargs.pop('device_ids', None)
        original(self, module, *args, **kwargs)


def patch_compile() -> None:
    """Keep the optimizer step out of a compiled ``train_step``.

    Dynamo fails in OptimWrapper's context managers and counters. The step is
    excluded when the Runner is about to compile: doing it at import would
    load dynamo, about two seconds, in every process.
    """
    from mmengine.runner import Runner

    @replaces(Runner, '_maybe_compile')
    def _maybe_compile(original: Callable, self: Any, target: str) -> None:
        compiles = self.cfg.get('compile') not in (None, False)
        if compiles and target == 'train_step':
            wrapper = self.optim_wrapper
            wrapper.update_params = torch.compiler.disable(
                wrapper.update_params)
        original(self, target)


def patch_collate_scope() -> None:
    """Keep MMEngine's mark of inherited dicts out of ``collate_fn``.

    What comes from ``_base_ = 'mmaction::…'`` is marked with ``_scope_``, and
    the Runner passes all options of ``collate_fn`` on to the function:
    MMAction2's MViT configs have one.
    """
    from mmengine.runner import Runner

    @replaces(Runner, 'build_dataloader')
    def build_dataloader(original: Callable, dataloader: Any, *args: Any,
                         **kwargs: Any) -> Any:
        if isinstance(dataloader, dict):
            collate = dataloader.get('collate_fn')
            if isinstance(collate, dict) and '_scope_' in collate:
                dataloader = dict(dataloader, collate_fn={
                    key: value for key, value in collate.items()
                    if key != '_scope_'})
        return original(dataloader, *args, **kwargs)
