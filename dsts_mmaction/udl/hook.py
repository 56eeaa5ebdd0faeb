"""Upstream-Downstream Learning during MMEngine's ordinary training."""
import copy
import logging
from typing import Any

from mmaction.registry import HOOKS
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import BaseLoop, Runner
from mmengine.utils import apply_to

from ..optim.upstream_group import empty_upstream_group, upstream_group
from . import checks
from .building import build
from .held_out import HeldOutLoader
from .random_streams import derive_seed, random_streams
from .samples import Samples, half
from .statistics import routing_statistics
from .steps import UpstreamLearner
from .tails import make_tail

# What inner_lr='auto' does not go below (ours): the longest of the compared
# steps that lowered the held-out loss about as long as any did, with SGD and
# with AdamW (docs/upstream_downstream.md).
INNER_LR_FLOOR = 0.3
# This hook's part of a checkpoint.
STATE = 'upstream_downstream'


@HOOKS.register_module()
class UpstreamDownstreamHook(Hook):
    """Train the parameters that decide on held-out samples::

        custom_hooks = [
            dict(
                type='UpstreamDownstreamHook',
                optimizer=dict(type='AdamW', lr=1e-3))
        ]

    The DSTS paper (arXiv 2209.01425) trains the upstream parameters
    (synapses and gates) apart from the downstream ones; the steps are ours.
    In every iteration, when the features reach the DSTS module:

    1. a step of the downstream parameters is simulated on one half of the
       batch;
    2. the upstream parameters take a step against the loss that the other
       half has after it;

    and the ordinary training step goes on with the whole batch. The backbone
    runs once. The main optimizer has no upstream parameters
    (DSTSOptimWrapperConstructor sees to it), this hook's has no others.

    With gradient accumulation, the hyper-gradients of an accumulation are
    averaged, and the upstream step is taken in its last iteration.

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
        ValueError: An option out of its range; when training starts, a
            model, dataloader or optimizer that this cannot work with.
    """

    # After hooks that change what an iteration starts from.
    priority = 'LOW'

    def __init__(self,
                 optimizer: dict[str, Any],
                 order: int = 2,
                 inner_lr: str | float = 'auto',
                 held_out: str | dict[str, Any] = 'split',
                 interval: int = 1,
                 start: int = 0,
                 clip_grad: dict[str, Any] | None = None,
                 param_scheduler: None | dict[str, Any] | list[dict[str, Any]] = None,
                 simulate_classifier: bool = False) -> None:
        checks.check_options(optimizer, order, inner_lr, held_out, interval,
                             start, clip_grad, param_scheduler,
                             simulate_classifier)
        self.optimizer = optimizer
        self.order = order
        self.inner_lr = inner_lr
        self.held_out = held_out
        self.interval = interval
        self.start = start
        self.clip_grad = clip_grad
        self.param_scheduler = param_scheduler
        self.simulate_classifier = simulate_classifier
        self.learner: UpstreamLearner | None = None
        self.skipped = dict(non_finite=0, too_few_samples=0)
        self._logged: set[str] = set()
        self._waiting = False
        self._warned_epoch = -1

    # ------------------------------------------------------------- the run

    def before_run(self, runner: Runner) -> None:
        """Check what this works with and build the upstream optimizer."""
        # A validation or test run has no train loop that is built.
        if self.learner is not None or not isinstance(runner._train_loop,
                                                      BaseLoop):
            return
        # Nothing goes onto the model yet: EMAHook copies it about now.
        checks.check_runner(runner)
        model = runner.model
        recognizer = model.module if is_model_wrapper(model) else model
        self.learner = UpstreamLearner(recognizer, make_tail(recognizer),
                                       self.optimizer, self.order,
                                       self.clip_grad,
                                       self.simulate_classifier)
        # Here, so that a resume finds it so.
        empty_upstream_group(runner.optim_wrapper.optimizer)
        checks.check_learner(self.learner, runner)
        self._schedulers = self._build_schedulers(runner)
        self._statistics = routing_statistics(recognizer)
        self._loader = None
        if self.held_out == 'split':
            checks.check_batch_size(runner.train_dataloader)
            self._num_repeats = checks.num_repeats(runner.train_dataloader)
            if getattr(recognizer.data_preprocessor, 'blending', None):
                self._warn('the batch is blended (mixup, cutmix) before it '
                           'is halved, so that the halves share source '
                           'clips: held-out samples are not quite held out. '
                           'A dataloader config as held_out avoids that.')
        else:
            self._loader = build('held_out', HeldOutLoader, self.held_out,
                                 runner.seed)

    def before_train(self, runner: Runner) -> None:
        """Listen for features on the model."""
        self._runner = runner
        compiled = runner.cfg.get('compile') not in (None, False)
        self._shares = self.learner.tail.shares and not compiled
        checks.check_sharing(self.learner.recognizer, self._shares)
        if self._shares:
            self.learner.tail.listen(self._receive)
        else:
            reason = ('train_step is compiled' if compiled else
                      'DSTS modules are inside the backbone')
            self._warn(f'features are computed a second time in every '
                       f'iteration, because {reason}.')

    def before_train_iter(self,
                          runner: Runner,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """Decide whether this iteration has an upstream step."""
        update = runner.iter // runner.optim_wrapper._accumulative_counts
        self._waiting = (runner.iter >= self.start
                         and update % self.interval == 0)
        if self._waiting and not self._shares:
            self._recompute(data_batch)

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Leave the upstream parameters as the upstream step made them."""
        # The ordinary step cannot leave them out of its graph: DDP would
        # miss them.
        self.learner.forget_gradients()
        if self._waiting:
            raise RuntimeError(
                'An iteration ended without features at the DSTS module: '
                'UpstreamDownstreamHook needs a train_step that computes the '
                'losses of DSTSHead or DSTSNeck.')
        for scheduler in self._schedulers:
            if not scheduler.by_epoch:
                scheduler.step()

    def after_train_epoch(self, runner: Runner) -> None:
        """Step the schedulers that go by epoch."""
        for scheduler in self._schedulers:
            if scheduler.by_epoch:
                scheduler.step()

    def after_train(self, runner: Runner) -> None:
        """Leave the model as it was found."""
        if self._shares:
            self.learner.tail.stop_listening()

    # -------------------------------------------------------- the algorithm

    def _receive(self, samples: Samples) -> None:
        """Features of the ordinary training step have reached DSTS."""
        # Once: the tail comes by here again when it runs on parts.
        if self._waiting:
            self._waiting = False
            self._learn(samples)

    def _recompute(self, data_batch: Any) -> None:
        """Compute the features that the ordinary step is going to have."""
        self._waiting = False
        recognizer = self.learner.recognizer
        with self._runner.optim_wrapper.optim_context(recognizer):
            with random_streams():
                # The preprocessor may write to the batch (mixup's labels).
                data = recognizer.data_preprocessor(
                    copy.deepcopy(data_batch), training=True)
                samples = self.learner.tail.capture(recognizer, data)
            self._learn(samples)

    def _learn(self, samples: Samples) -> None:
        """Steps 1 and 2; step 3 is what MMEngine does next."""
        runner, learner = self._runner, self.learner
        samples = samples.detach()
        with random_streams(self._seed(0)):
            if self._loader is None:
                parts = samples.split(
                    half(len(samples.data_samples), self._num_repeats))
            else:
                parts = samples, self._held_out_samples()
            if parts[0].data_samples:
                routing = {}
                loss = learner.accumulate(*parts, self._inner_lr(),
                                          self._loss_scale(), routing)
                self._log(upstream_loss=loss.item())
                self._log_routing(routing)
        if runner.optim_wrapper.should_sync():
            self._step()

    def _step(self) -> None:
        optimizer = self.learner.optimizer
        if self.param_scheduler is None:
            for group in optimizer.param_groups:
                group['lr'] = self.optimizer['lr'] * self._schedule()
        step = self.learner.step()
        if step.skipped is not None:
            if self.skipped[step.skipped] == 0:
                self._warn('an upstream step was skipped '
                           f'({step.skipped.replace("_", " ")}); '
                           'train/upstream_skipped counts them.')
            self.skipped[step.skipped] += 1
        else:
            self._log(upstream_grad_norm=step.grad_norm)
        self._log(
            upstream_inner_lr=self._inner_lr(),
            upstream_lr=optimizer.param_groups[0]['lr'],
            upstream_skipped=sum(self.skipped.values()))

    def _held_out_samples(self) -> Samples:
        recognizer = self.learner.recognizer
        data = recognizer.data_preprocessor(
            self._loader.next(self._seed(1)), training=True)
        return self.learner.tail.capture(recognizer, data).detach()

    def _seed(self, purpose: int) -> int:
        # A function of the iteration, so that a resumed run draws the same.
        return derive_seed(self._runner.seed, get_rank(), self._runner.iter,
                           purpose)

    def _inner_lr(self) -> float:
        if self.inner_lr != 'auto':
            return self.inner_lr
        groups = self._runner.optim_wrapper.optimizer.param_groups
        kernels = [g['lr'] for g in groups if g.get('name') == 'dsts_kernels']
        return max([INNER_LR_FLOOR, *kernels])

    def _schedule(self) -> float:
        """The main learning rate as a multiple of the configured one."""
        # Both of the group: a resume restores both as they were.
        group = upstream_group(self._runner.optim_wrapper.optimizer)
        if group['configured_lr'] == 0:  # lr_mult=0: nothing to follow
            return 1.0
        return group['lr'] / group['configured_lr']

    def _loss_scale(self) -> float:
        scaler = getattr(self._runner.optim_wrapper, 'loss_scaler', None)
        return 1.0 if scaler is None else scaler.get_scale()

    def _build_schedulers(self, runner: Runner) -> list:
        configs = self.param_scheduler or []
        schedulers = []
        for config in [configs] if isinstance(configs, dict) else configs:
            by_epoch = config.get('by_epoch', True)
            end = runner.max_epochs if by_epoch else runner.max_iters
            schedulers.append(
                build('param_scheduler', PARAM_SCHEDULERS.build, {
                    'end': end, **config
                }, default_args=dict(
                    optimizer=self.learner.optimizer,
                    epoch_length=len(runner.train_dataloader))))
        return schedulers

    # ---------------------------------------------------------- checkpoints

    def before_save_checkpoint(self, runner: Runner,
                               checkpoint: dict[str, Any]) -> None:
        """Add what a resumed run needs."""
        # Keys without a value would be warned of, one by one, on resume.
        hub = checkpoint.get('message_hub', {})
        for name in self._logged:
            hub.get('resumed_keys', {}).pop(name, None)
        checkpoint[STATE] = apply_to(
            dict(
                type=self.optimizer['type'],
                optimizer=self.learner.optimizer.state_dict(),
                param_schedulers=[s.state_dict() for s in self._schedulers],
                skipped=dict(self.skipped),
                routing=[s.state_dict() for s in self._statistics.values()],
                held_out=self._loader and self._loader.state_dict()),
            lambda value: hasattr(value, 'cpu'), lambda value: value.cpu())

    def after_load_checkpoint(self, runner: Runner,
                              checkpoint: dict[str, Any]) -> None:
        """Go on from a checkpoint that is resumed."""
        if self.learner is None or not runner._resume:
            return
        if STATE not in checkpoint:
            return  # convert_upstream_group says so
        state = checkpoint[STATE]
        if (state['type'] == self.optimizer['type'] and len(
                state['param_schedulers']) == len(self._schedulers)):
            self.learner.optimizer.load_state_dict(state['optimizer'])
            for scheduler, saved in zip(self._schedulers,
                                        state['param_schedulers']):
                scheduler.load_state_dict(saved)
        else:
            self._warn(
                'optimizer.type or the number of schedulers in '
                'param_scheduler is not that of the run that is resumed '
                f'({state["type"]}, {len(state["param_schedulers"])}): the '
                'upstream optimizer and its schedule start afresh.')
        self.skipped.update(state['skipped'])
        for statistics, saved in zip(self._statistics.values(),
                                     state['routing']):
            statistics.load_state_dict(saved)
        if self._loader is not None and state['held_out'] is not None:
            self._loader.load_state_dict(state['held_out'])

    # -------------------------------------------------------------- logging

    def _log(self, **scalars: float) -> None:
        # Not into the checkpoint: a joint run that is resumed from it would
        # log the last values on and on.
        values = {f'train/{name}': value for name, value in scalars.items()}
        self._logged.update(values)
        self._runner.message_hub.update_scalars(values, resumed=False)

    def _log_routing(self, routing: dict[Any, list]) -> None:
        collapsed = []
        for module, statistics in self._statistics.items():
            for choices in routing[module]:
                statistics.update(choices)
            self._log(**statistics.scalars())
            collapsed += statistics.collapsed()
        epoch = self._runner.iter // len(self._runner.train_dataloader)
        if collapsed and epoch != self._warned_epoch:
            self._warned_epoch = epoch
            # The epoch also tells it from the last one: MMEngine prints a
            # warning of the same words only once.
            self._warn(f'epoch {epoch + 1}: the neurons of '
                       f'{", ".join(collapsed)} have collapsed, one gets '
                       'nearly every sample. A larger balance_loss_weight of '
                       'dsts counters that.')

    def _warn(self, message: str) -> None:
        print_log(
            f'{type(self).__name__}: {message}',
            logger='current',
            level=logging.WARNING)
