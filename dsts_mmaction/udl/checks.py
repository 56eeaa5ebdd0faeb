"""What UpstreamDownstreamHook cannot work with, in one sentence each."""
from collections.abc import Iterator
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from ..adapters.omni import is_omni
from ..optim.groups import upstream_group
from .options import HOOK
from .steps import UpstreamLearner


def check_runner(runner: Runner) -> None:
    """Check the Runner, its model's wrapper, its optimizer and its data.

    Raises:
        ValueError: Something that the hook cannot work with.
    """
    if not isinstance(runner, Runner):
        raise ValueError(f'{HOOK} works with the Runner of MMEngine, not '
                         f'with {type(runner).__name__}: leave the strategy '
                         'out of the config.')
    if (is_model_wrapper(runner.model)
            and not isinstance(runner.model, DistributedDataParallel)):
        raise ValueError(
            f'{HOOK} works with one process and with '
            'MMDistributedDataParallel, not with model_wrapper_cfg.type '
            f'{type(runner.model).__name__!r}.')
    listed = [type(hook).__name__ for hook in runner.hooks].count(HOOK)
    if listed > 1:
        raise ValueError(f'custom_hooks has {HOOK} {listed} times: list it '
                         'once.')
    # It is an OptimWrapper, too.
    if isinstance(runner.optim_wrapper, OptimWrapperDict):
        raise ValueError(f'{HOOK} works with a single OptimWrapper, not '
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
    if is_omni(recognizer) and not shares:
        raise ValueError(
            f'{HOOK} works with {type(recognizer).__name__} only where it '
            'shares the features of the training step: leave layer out of '
            'DSTSHead, and compile out of the config.')


def check_learner(learner: UpstreamLearner, runner: Runner) -> None:
    """Check what is to be learned, and by which optimizer.

    Raises:
        ValueError: Something that the hook cannot work with.
    """
    for name, parameters in (('upstream', learner.upstream),
                             ('downstream', learner.downstream)):
        if not parameters:
            raise ValueError(f'{HOOK} found no {name} parameter that '
                             'requires a gradient: put DSTSHead or DSTSNeck '
                             'into the model, and leave its parameters '
                             'unfrozen.')
    synced = [name for name, module in learner.tail.named_modules()
              if isinstance(module, nn.SyncBatchNorm)]
    if synced:
        raise ValueError(
            f'{HOOK} cannot simulate a step of one rank through the '
            f'SyncBatchNorm {synced[0]!r}: leave sync_bn out of the config.')
    optimizer = runner.optim_wrapper.optimizer
    in_main = {id(p) for g in optimizer.param_groups for p in g['params']}
    if (upstream_group(optimizer) is None
            or any(id(p) in in_main for p in learner.upstream.values())):
        raise ValueError(
            f'{HOOK} trains the upstream parameters, but the main optimizer '
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
            f"held_out='split' of {HOOK} halves every batch, but "
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
