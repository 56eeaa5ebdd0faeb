"""The options of Upstream-Downstream Learning."""
from dataclasses import dataclass
from typing import Any

from ..utils.checks import check_count, check_flag, check_positive, is_number

HOOK = 'UpstreamDownstreamHook'
_CLIPPED_BY = dict(
    norm=('max_norm', {'norm_type', 'error_if_nonfinite', 'foreach'}),
    value=('clip_value', {'foreach'}))


@dataclass(frozen=True)
class UDLOptions:
    """Options of UpstreamDownstreamHook, which check themselves.

    Args:
        optimizer: Config of the upstream parameters' optimizer. No weight
            decay unless it says so.
        order: 2 differentiates through the simulated step; 1 takes the
            simulated parameters for constants.
        inner_lr: Learning rate of the simulated step. ``'auto'``: the
            current one of the DSTS kernels, at least 0.3.
        held_out: ``'split'`` halves the batch. A dataloader config: the step
            is simulated on the whole batch, and the held-out samples come
            from that dataloader.
        interval: Upstream steps are taken in every interval-th update of the
            main optimizer.
        start: First iteration that may have one.
        clip_grad: Clips the hyper-gradient: options of torch's
            ``clip_grad_norm_``, or of ``clip_grad_value_`` with
            ``type='value'``, as in MMEngine's OptimWrapper.
        param_scheduler: Schedulers of the upstream learning rate, as in a
            config's ``param_scheduler``. By default it follows the main one:
            both keep the ratio that the config gives them.
        simulate_classifier: Whether the simulated step also moves the
            classifier.

    Raises:
        ValueError: An option is out of its range.
    """
    optimizer: dict[str, Any]
    order: int = 2
    inner_lr: str | float = 'auto'
    held_out: str | dict[str, Any] = 'split'
    interval: int = 1
    start: int = 0
    clip_grad: dict[str, Any] | None = None
    param_scheduler: dict[str, Any] | list[dict[str, Any]] | None = None
    simulate_classifier: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer, dict) or (
                'type' not in self.optimizer):
            raise ValueError(
                f'optimizer of {HOOK} must be the config of an optimizer, '
                f"such as dict(type='AdamW', lr=1e-3), got "
                f'{self.optimizer!r}.')
        check_positive(f'optimizer.lr of {HOOK}', self.optimizer.get('lr'))
        if self.order not in (1, 2) or isinstance(self.order, bool):
            raise ValueError(f'order of {HOOK} must be 1 or 2, got '
                             f'{self.order!r}.')
        inner_lr: Any = self.inner_lr
        if inner_lr != 'auto' and (not is_number(inner_lr) or inner_lr <= 0):
            raise ValueError(
                f"inner_lr of {HOOK} must be 'auto' or a number greater than "
                f'0, got {inner_lr!r}.')
        self._check_held_out()
        check_count(f'interval of {HOOK}', self.interval, 1)
        check_count(f'start of {HOOK}', self.start, 0)
        if self.clip_grad is not None and not _can_clip(self.clip_grad):
            raise ValueError(
                f'clip_grad of {HOOK} must be dict(max_norm=...), with '
                "norm_type if wanted, or dict(type='value', clip_value=...), "
                f'got {self.clip_grad!r}.')
        if not all(isinstance(each, dict) and 'type' in each
                   for each in self.schedulers):
            raise ValueError(
                f'param_scheduler of {HOOK} must be the config of a '
                'scheduler, or a list of them, got '
                f'{self.param_scheduler!r}.')
        check_flag(f'simulate_classifier of {HOOK}',
                   self.simulate_classifier)

    @property
    def schedulers(self) -> list[Any]:
        """Configs of the schedulers, none if it follows the main one."""
        schedulers = self.param_scheduler or []
        if isinstance(schedulers, (list, tuple)):
            return list(schedulers)
        return [schedulers]

    def _check_held_out(self) -> None:
        if self.held_out == 'split':
            return
        if not isinstance(self.held_out, dict):
            raise ValueError(
                f"held_out of {HOOK} must be 'split' or the config of a "
                f'dataloader, got {self.held_out!r}.')
        if 'dataset' not in self.held_out:
            raise ValueError(
                f'held_out of {HOOK} must be the config of a dataloader, '
                'such as dict(batch_size=8, num_workers=2, '
                'sampler=dict(...), dataset=dict(...)); got one without '
                f'dataset: {self.held_out!r}.')


def _can_clip(options: Any) -> bool:
    if not isinstance(options, dict):
        return False
    options = dict(options)
    kind = options.pop('type', 'norm')
    needed, allowed = _CLIPPED_BY.get(kind, _CLIPPED_BY['norm'])
    value = options.pop(needed, None)
    return set(options) <= allowed and is_number(value) and value > 0
