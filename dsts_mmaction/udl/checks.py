"""What UpstreamDownstreamHook cannot work with, in one sentence each."""
import math
from collections.abc import Iterator
from typing import Any

from mmaction.models.recognizers import RecognizerOmni
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from ..optim.upstream_group import upstream_group
from .steps import UpstreamLearner

_HOOK = 'UpstreamDownstreamHook'


def check_options(optimizer: Any, order: Any, inner_lr: Any, held_out: Any,
                  interval: Any, start: Any, clip_grad: Any,
                  param_scheduler: Any, simulate_classifier: Any) -> None:
    """Check the hook's own options.

    Raises:
        ValueError: One of them is out of its range.
    """
    if not isinstance(optimizer, dict) or 'type' not in optimizer:
        raise ValueError(f'optimizer of {_HOOK} must be the config of an '
                         "optimizer, such as dict(type='AdamW', lr=1e-3), "
                         f'got {optimizer!r}.')
    if not _is_number(optimizer.get('lr')) or not optimizer['lr'] > 0:
        raise ValueError(f'optimizer.lr of {_HOOK} must be a number greater '
                         f'than 0, got {optimizer.get("lr")!r}.')
    if order not in (1, 2) or isinstance(order, bool):
        raise ValueError(f'order of {_HOOK} must be 1 or 2, got {order!r}.')
    if inner_lr != 'auto' and (not _is_number(inner_lr) or not inner_lr > 0):
        raise ValueError(f"inner_lr of {_HOOK} must be 'auto' or a number "
                         f'greater than 0, got {inner_lr!r}.')
    if held_out != 'split' and not isinstance(held_out, dict):
        raise ValueError(f"held_out of {_HOOK} must be 'split' or the config "
                         f'of a dataloader, got {held_out!r}.')
    for name, value, least in (('interval', interval, 1), ('start', start, 0)):
        if (not isinstance(value, int) or isinstance(value, bool)
                or value < least):
            raise ValueError(f'{name} of {_HOOK} must be an integer of '
                             f'{least} or more, got {value!r}.')
    if clip_grad is not None and not _can_clip(clip_grad):
        raise ValueError(
            f'clip_grad of {_HOOK} must be dict(max_norm=...), with norm_type '
            "if wanted, or dict(type='value', clip_value=...), got "
            f'{clip_grad!r}.')
    if isinstance(held_out, dict) and 'dataset' not in held_out:
        raise ValueError(
            f'held_out of {_HOOK} must be the config of a dataloader, such as '
            'dict(batch_size=8, num_workers=2, sampler=dict(...), '
            f'dataset=dict(...)); got one without dataset: {held_out!r}.')
    schedulers = param_scheduler or []
    if isinstance(schedulers, dict):
        schedulers = [schedulers]
    if not isinstance(schedulers, (list, tuple)) or not all(
            isinstance(each, dict) and 'type' in each for each in schedulers):
        raise ValueError(
            f'param_scheduler of {_HOOK} must be the config of a scheduler, '
            f'or a list of them, got {param_scheduler!r}.')
    if not isinstance(simulate_classifier, bool):
        raise ValueError(f'simulate_classifier of {_HOOK} must be True or '
                         f'False, got {simulate_classifier!r}.')


def check_runner(runner: Runner) -> None:
    """Check the Runner, its model's wrapper, its optimizer and its data.

    Raises:
        ValueError: Something that the hook cannot work with.
    """
    if not isinstance(runner, Runner):
        raise ValueError(f'{_HOOK} works with the Runner of MMEngine, not '
                         f'with {type(runner).__name__}: leave the strategy '
                         'out of the config.')
    if (is_model_wrapper(runner.model)
            and not isinstance(runner.model, DistributedDataParallel)):
        raise ValueError(
            f'{_HOOK} works with one process and with '
            'MMDistributedDataParallel, not with model_wrapper_cfg.type '
            f'{type(runner.model).__name__!r}.')
    listed = [type(hook).__name__ for hook in runner.hooks].count(_HOOK)
    if listed > 1:
        raise ValueError(f'custom_hooks has {_HOOK} {listed} times: list it '
                         'once.')
    # It is an OptimWrapper, too.
    if isinstance(runner.optim_wrapper, OptimWrapperDict):
        raise ValueError(f'{_HOOK} works with a single OptimWrapper, not '
                         f'with {type(runner.optim_wrapper).__name__}.')


def check_sharing(recognizer: nn.Module, shares: bool) -> None:
    """Check that features can be computed again where they have to be.

    Args:
        recognizer: The recognizer, not wrapped.
        shares: Whether they are those of the ordinary training step.

    Raises:
        ValueError: A recognizer whose batch holds several sources, which
            would have to be told apart.
    """
    if isinstance(recognizer, RecognizerOmni) and not shares:
        raise ValueError(
            f'{_HOOK} works with RecognizerOmni only where it shares the '
            'features of the training step: leave layer out of DSTSHead, '
            'and compile out of the config.')


def check_learner(learner: UpstreamLearner, runner: Runner) -> None:
    """Check what is to be learned, and by which optimizer.

    Raises:
        ValueError: Something that the hook cannot work with.
    """
    for name, parameters in (('upstream', learner.upstream),
                             ('downstream', learner.downstream)):
        if not parameters:
            raise ValueError(f'{_HOOK} found no {name} parameter that '
                             'requires a gradient: put DSTSHead or DSTSNeck '
                             'into the model, and leave its parameters '
                             'unfrozen.')
    synced = [name for name, module in learner.tail.named_modules()
              if isinstance(module, nn.SyncBatchNorm)]
    if synced:
        raise ValueError(
            f'{_HOOK} cannot simulate a step of one rank through the '
            f'SyncBatchNorm {synced[0]!r}: leave sync_bn out of the config.')
    optimizer = runner.optim_wrapper.optimizer
    in_main = {id(p) for g in optimizer.param_groups for p in g['params']}
    if (upstream_group(optimizer) is None
            or any(id(p) in in_main for p in learner.upstream.values())):
        raise ValueError(
            f'{_HOOK} trains the upstream parameters, but the main optimizer '
            'has them: set optim_wrapper.constructor to '
            "'DSTSOptimWrapperConstructor' (and the host's own constructor, "
            'if it has one, to paramwise_cfg.constructor).')


def check_batch_size(loader: DataLoader) -> None:
    """Check that a batch can be halved.

    Raises:
        ValueError: Batches of a single video.
    """
    batch_size = loader.batch_size
    if batch_size is None:
        batch_size = getattr(loader.batch_sampler, 'batch_size', None)
    if batch_size == 1:
        raise ValueError(
            f"held_out='split' of {_HOOK} halves every batch, but "
            'train_dataloader.batch_size is 1: set it to 2 or more, or '
            'held_out to the config of a dataloader.')


def num_repeats(loader: DataLoader) -> int:
    """Samples of one video that follow each other in a batch.

    RepeatAugDataset says so, also inside wrappers (``dataset``) and
    concatenations (``datasets``).
    """
    return max(getattr(dataset, 'num_repeats', 1)
               for dataset in _with_wrapped(loader.dataset))


def _with_wrapped(dataset: Any) -> Iterator[Any]:
    yield dataset
    for inner in (getattr(dataset, 'dataset', None),
                  *getattr(dataset, 'datasets', ())):
        if inner is not None:
            yield from _with_wrapped(inner)


def _can_clip(options: Any) -> bool:
    if not isinstance(options, dict):
        return False
    options = dict(options)
    if options.pop('type', 'norm') == 'value':
        needed, allowed = 'clip_value', {'clip_value', 'foreach'}
    else:
        needed = 'max_norm'
        allowed = {'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach'}
    return (set(options) <= allowed and _is_number(options.get(needed))
            and options[needed] > 0)


def _is_number(value: Any) -> bool:
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
            and math.isfinite(value))
