"""Upstream-Downstream Learning during MMEngine's ordinary training."""
import copy
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from mmaction.registry import HOOKS
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from mmengine.utils import apply_to

from ..optim.groups import empty_upstream_group, kernel_learning_rate
from . import checks
from .building import build
from .held_out import HeldOutLoader
from .log import UDLLog, UDLResult, warn
from .options import UDLOptions
from .random_streams import derive_seed, random_streams
from .samples import Samples, half
from .schedule import UpstreamSchedule
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
    runs once. The main optimizer has no upstream parameters: its group of
    them is emptied before the run; this hook's has no others.

    With gradient accumulation, the hyper-gradients of an accumulation are
    averaged, and the upstream step is taken in its last iteration.

    Args:
        options: Those of :class:`~dsts_mmaction.udl.options.UDLOptions`.

    Attributes:
        before_steps: Called with the :class:`Samples` that reach the DSTS
            module, before steps 1 and 2 of an iteration that has them.
        after_steps: Called with the :class:`UDLResult` after them, logging
            first.
        learner: Does steps 1 and 2; there from the run on.

    Raises:
        ValueError: An option out of its range; when training starts, a
            model, dataloader or optimizer that this cannot work with.
    """

    # After hooks that change what an iteration starts from.
    priority = 'LOW'
    learner: UpstreamLearner

    def __init__(self, **options: Any) -> None:
        self.options = UDLOptions(**options)
        self.before_steps: list[Callable[[Samples], None]] = []
        self.after_steps: list[Callable[[UDLResult], None]] = []
        self._loader: HeldOutLoader | None = None
        self._due = False
        self._is_built = False

    # ------------------------------------------------------------- the run

    def before_run(self, runner: Runner) -> None:
        """Check what this works with and build the upstream optimizer."""
        # A validation or test run has no train loop that is built.
        if self._is_built or not isinstance(runner._train_loop, BaseLoop):
            return
        self._is_built = True
        # Nothing goes onto the model yet: EMAHook copies it about now.
        checks.check_runner(runner)
        model = runner.model
        recognizer = model.module if is_model_wrapper(model) else model
        self._runner = runner
        self.learner = UpstreamLearner(recognizer, make_tail(recognizer),
                                       self.options)
        # Here, so that a resume finds it so.
        empty_upstream_group(runner.optim_wrapper.optimizer)
        checks.check_learner(self.learner, runner)
        self._schedule = UpstreamSchedule(self.options,
                                          self.learner.optimizer, runner)
        self.log = UDLLog(runner, recognizer)
        self.after_steps.insert(0, self.log)
        if self.options.held_out != 'split':
            self._loader = build('held_out', HeldOutLoader,
                                 self.options.held_out, runner.seed)
            return
        checks.check_batch_size(runner.train_dataloader)
        self._num_repeats = checks.num_repeats(runner.train_dataloader)
        if getattr(recognizer.data_preprocessor, 'blending', None):
            warn('the batch is blended (mixup, cutmix) before it is halved, '
                 'so that the halves share source clips: held-out samples '
                 'are not quite held out. A dataloader config as held_out '
                 'avoids that.')

    def before_train(self, runner: Runner) -> None:
        """Listen for features on the model."""
        self._cleanup = ExitStack()
        tail: Any = self.learner.tail
        compiled = runner.cfg.get('compile') not in (None, False)
        self._shares = tail.shares and not compiled
        checks.check_sharing(self.learner.recognizer, self._shares)
        if self._shares:
            self._cleanup.enter_context(tail.listening(self._receive))
        else:
            reason = ('train_step is compiled' if compiled else
                      'DSTS modules are inside the backbone')
            warn('features are computed a second time in every iteration, '
                 f'because {reason}.')

    def before_train_iter(self,
                          runner: Runner,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """Decide whether this iteration has an upstream step."""
        update = runner.iter // runner.optim_wrapper._accumulative_counts
        self._due = (runner.iter >= self.options.start
                     and update % self.options.interval == 0)
        if self._due and not self._shares:
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
        if self._due:
            raise RuntimeError(
                'An iteration ended without features at the DSTS module: '
                'UpstreamDownstreamHook needs a train_step that computes the '
                'losses of DSTSHead or DSTSNeck.')
        self._schedule.step(by_epoch=False)

    def after_train_epoch(self, runner: Runner) -> None:
        """Step the schedulers that go by epoch."""
        self._schedule.step(by_epoch=True)

    def after_train(self, runner: Runner) -> None:
        """Leave the model as it was found."""
        self._cleanup.close()

    # ------------------------------------------------------ steps 1 and 2

    def _receive(self, samples: Samples) -> None:
        """Features of the ordinary training step have reached DSTS."""
        if self._due:  # RecognizerOmni has features of several sources
            self._learn(samples)

    def _recompute(self, data_batch: Any) -> None:
        """Compute the features that the ordinary step is going to have."""
        recognizer = self.learner.recognizer
        with self._runner.optim_wrapper.optim_context(recognizer):
            with random_streams():
                # The preprocessor may write to the batch (mixup's labels).
                samples = self._capture(copy.deepcopy(data_batch))
            self._learn(samples)

    def _learn(self, samples: Samples) -> None:
        """Steps 1 and 2; step 3 is what MMEngine does next."""
        self._due = False
        for prepare in self.before_steps:
            prepare(samples)
        runner, learner = self._runner, self.learner
        inner_lr, loss_scale = self._inner_lr(), self._loss_scale()
        evaluation = step = None
        with random_streams(self._seed(0)):
            parts = self._divide(samples.detach())
            if parts[0].data_samples:
                evaluation = learner.accumulate(*parts, inner_lr, loss_scale)
        if runner.optim_wrapper.should_sync():
            self._schedule.follow(runner.optim_wrapper.optimizer)
            step = learner.step()
        result = UDLResult(parts, evaluation, step, inner_lr, loss_scale,
                           learner.optimizer.param_groups[0]['lr'])
        for observe in self.after_steps:
            observe(result)

    def _divide(self, samples: Samples) -> tuple[Samples, Samples]:
        """Samples of the simulated step, and held-out ones."""
        if self._loader is not None:
            return samples, self._capture(self._loader.next(self._seed(1)))
        return samples.split(half(len(samples.data_samples),
                                  self._num_repeats))

    def _capture(self, data_batch: Any) -> Samples:
        recognizer = self.learner.recognizer
        data = recognizer.data_preprocessor(data_batch, training=True)
        return self.learner.tail.capture(recognizer, data).detach()

    def _seed(self, purpose: int) -> int:
        # A function of the iteration, so that a resumed run draws the same.
        return derive_seed(self._runner.seed, get_rank(), self._runner.iter,
                           purpose)

    def _inner_lr(self) -> float:
        if not isinstance(self.options.inner_lr, str):
            return self.options.inner_lr
        return max(INNER_LR_FLOOR, kernel_learning_rate(
            self._runner.optim_wrapper.optimizer))

    def _loss_scale(self) -> float:
        scaler = getattr(self._runner.optim_wrapper, 'loss_scaler', None)
        return 1.0 if scaler is None else scaler.get_scale()

    # ---------------------------------------------------------- checkpoints

    def before_save_checkpoint(self, runner: Runner,
                               checkpoint: dict[str, Any]) -> None:
        """Add what a resumed run needs."""
        self.log.leave_out(checkpoint.get('message_hub', {}))
        checkpoint[STATE] = apply_to(
            dict(
                type=self.options.optimizer['type'],
                optimizer=self.learner.optimizer.state_dict(),
                param_schedulers=[s.state_dict()
                                  for s in self._schedule.schedulers],
                **self.log.state_dict(),
                held_out=self._loader and self._loader.state_dict()),
            lambda value: hasattr(value, 'cpu'), lambda value: value.cpu())

    def after_load_checkpoint(self, runner: Runner,
                              checkpoint: dict[str, Any]) -> None:
        """Go on from a checkpoint that is resumed."""
        if not self._is_built or not runner._resume:
            return
        if STATE not in checkpoint:
            return  # convert_upstream_group says so
        state = checkpoint[STATE]
        schedulers = self._schedule.schedulers
        if (state['type'] == self.options.optimizer['type']
                and len(state['param_schedulers']) == len(schedulers)):
            self.learner.optimizer.load_state_dict(state['optimizer'])
            for scheduler, saved in zip(schedulers,
                                        state['param_schedulers']):
                scheduler.load_state_dict(saved)
        else:
            warn('optimizer.type or the number of schedulers in '
                 'param_scheduler is not that of the run that is resumed '
                 f'({state["type"]}, {len(state["param_schedulers"])}): the '
                 'upstream optimizer and its schedule start afresh.')
        self.log.load_state_dict(state)
        if self._loader is not None and state['held_out'] is not None:
            self._loader.load_state_dict(state['held_out'])
