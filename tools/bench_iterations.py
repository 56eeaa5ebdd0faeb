"""Whole training iterations, for the rows of bench_speed.py that time them.

Every variant is trained by a Runner of its own, hooks and optimizer step
included, on one batch of random clips.
"""
import functools
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from mmaction.registry import DATASETS, LOOPS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import Dataset

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.models import DSTSModule
from dsts_mmaction.optim.groups import upstream_group
from dsts_mmaction.udl.hook import INNER_LR_FLOOR
from dsts_mmaction.utils.memory import memory_growth

FRAMES = 8
#: 'base': without DSTS. 'joint': with it, everything trained jointly.
#: 'udl1', 'udl2': by UpstreamDownstreamHook, order 1 and 2. 'generic': as
#: 'udl2', without the hook and with nothing shared.
VARIANTS = ('base', 'joint', 'udl1', 'udl2', 'generic')

Batch = dict[str, list[Any]]


class Setting(NamedTuple):
    """What is trained.

    Attributes:
        name: What to call the recognizer.
        config: A TSM config with UpstreamDownstreamHook; absolute path.
        batch: Clips per iteration.
        size: Height and width of the clips, in pixels.
        compile: Whether MMEngine compiles the training step.
    """
    name: str
    config: str
    batch: int
    size: int
    compile: bool = False

    def __str__(self) -> str:
        text = (f'{self.name} {FRAMES}x{self.size}x{self.size}, '
                f'batch {self.batch}')
        return f'{text}, compiled' if self.compile else text


@DATASETS.register_module()
class NoiseClips(Dataset):
    """Clips of noise, the same ones in every run, with all labels in turn.

    Args:
        count: Number of clips.
        size: Height and width.
        num_classes: Number of labels.
    """

    def __init__(self, count: int, size: int, num_classes: int) -> None:
        self.count = count
        self.size = size
        self.num_classes = num_classes

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return dict(
            inputs=torch.randint(
                256, (FRAMES, 3, self.size, self.size), dtype=torch.uint8,
                generator=torch.Generator().manual_seed(index)),
            data_samples=ActionDataSample().set_gt_label(
                index % self.num_classes))


@LOOPS.register_module()
class OneByOneLoop(EpochBasedTrainLoop):
    """Stops before the first iteration; ``run_iter`` is called outside."""

    def run(self) -> nn.Module:
        """Get ready for the first iteration."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        return self.runner.model


class Training:
    """Trains one iteration whenever it is called.

    On a GPU, if there is one, under autocast.

    Args:
        variant: One of ``VARIANTS``.
        setting: What is trained.
    """

    def __init__(self, variant: str, setting: Setting) -> None:
        self.runner = start_runner(variant, setting)
        self.batch: Batch = next(iter(self.runner.train_dataloader))
        self.generic = None
        if variant == 'generic':
            self.generic = GenericUpstream(self.runner)

    def __call__(self) -> None:
        if self.generic is None:
            self.step()
        else:
            self.generic(self.batch, self.step)

    def step(self) -> None:
        """What MMEngine does in an iteration, hooks included."""
        self.runner.train_loop.run_iter(0, self.batch)


def training_memory(variant: str, setting: Setting) -> int:
    """What two iterations need, in bytes, besides the model itself.

    To be called in a new process, see :func:`memory_growth`.
    """
    training = Training(variant, setting)

    def iterations() -> None:
        training()  # makes gradients and the optimizer's state,
        training()  # which are there while this one computes

    return memory_growth(iterations)


def start_runner(variant: str, setting: Setting) -> Runner:
    """A Runner that is about to train its first iteration."""
    cfg = Config.fromfile(setting.config)
    head = cfg.model.cls_head.head
    cfg.model.backbone.pretrained = None
    if variant == 'base':
        cfg.model.cls_head = head
    if variant in ('udl1', 'udl2'):
        cfg.custom_hooks[-1].order = int(variant[-1])
    else:
        cfg.custom_hooks = []
    if torch.cuda.is_available():
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.train_dataloader = dict(
        batch_size=setting.batch,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='NoiseClips', count=100 * setting.batch, size=setting.size,
            num_classes=head.num_classes))
    cfg.train_cfg.type = 'OneByOneLoop'
    for split in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            cfg[f'{split}_{part}'] = None
    cfg.randomness = dict(seed=0)
    cfg.log_level = 'ERROR'
    cfg.compile = setting.compile
    cfg.work_dir = tempfile.mkdtemp(dir=work_dirs().name)
    # Runners of the same name would log into the same place.
    cfg.experiment_name = cfg.work_dir
    runner = Runner.from_cfg(cfg)
    runner.train()
    if variant != 'base':
        clips = torch.randn(setting.batch, FRAMES, 3, setting.size,
                            setting.size, device=get_device())
        recognizer_as_if_trained(runner.model, clips)
    return runner


@functools.cache
def work_dirs() -> tempfile.TemporaryDirectory:
    """A folder that is removed when this process ends."""
    return tempfile.TemporaryDirectory(prefix='bench_iterations_')


@torch.no_grad()
def as_if_trained(module: DSTSModule, features: Tensor) -> DSTSModule:
    """Let a new module be as costly as one that has been trained for a while.

    Its statistics become those of the features, as training makes them: else
    a synapse sends all samples to the same neuron in evaluation, which is
    cheap. And it adds something to the features: gradients that come through
    weights of zero are so small (denormal) that a CPU takes ten times as
    long.

    Args:
        module: Stays in its mode.
        features: A batch of what it will be given, (B, C, T, H, W).
    """
    nn.init.normal_(module.readout.linear.weight, std=0.1)
    norms = [m for m in module.modules()
             if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    mode = module.training
    for norm in norms:
        norm.momentum = 1.0
    module.train()(features)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    return module.train(mode)


def recognizer_as_if_trained(model: nn.Module, inputs: Tensor) -> nn.Module:
    """The same for all modules of a recognizer.

    Args:
        model: The recognizer.
        inputs: A batch of normalized clips, as its ``forward`` takes them.
    """
    seen: dict[DSTSModule, Tensor] = {}
    hooks = [module.register_forward_pre_hook(
        lambda module, args: seen.update({module: args[0]}))
        for module in dsts_modules(model)]
    mode = model.training
    with torch.no_grad():
        model.eval()(inputs, mode='tensor', stage='head')
    for hook in hooks:
        hook.remove()
    for module, features in seen.items():
        as_if_trained(module, features)
    return model.train(mode)


class GenericUpstream:
    """Upstream-Downstream Learning as torch.func writes it, order 2.

    For comparison: the loss is that of the whole recognizer, so that every
    step runs the backbone again, and the simulated step moves everything but
    the upstream parameters.

    Args:
        runner: A Runner of a joint run. Its optimizer loses the upstream
            parameters.
        lr: Learning rate of the upstream parameters.
        inner_lr: Learning rate of the simulated step.
    """

    def __init__(self, runner: Runner, lr: float = 1e-3,
                 inner_lr: float = INNER_LR_FLOOR) -> None:
        self.model = runner.model
        self.optim_wrapper = runner.optim_wrapper
        self.inner_lr = inner_lr
        ids = {id(p) for m in dsts_modules(self.model)
               for p in m.upstream_parameters()}
        trained = {n: p for n, p in self.model.named_parameters()
                   if p.requires_grad}
        self.upstream = {n: p for n, p in trained.items() if id(p) in ids}
        self.downstream = {
            n: p for n, p in trained.items() if id(p) not in ids}
        upstream_group(self.optim_wrapper.optimizer)['params'] = []
        self.optimizer = torch.optim.AdamW(
            self.upstream.values(), lr=lr, weight_decay=0.0)

    def __call__(self, batch: Batch,
                 downstream_step: Callable[[], None]) -> None:
        """One iteration: the upstream step, then the given one."""
        for parameter, gradient in zip(self.upstream.values(),
                                       self.hyper_gradient(batch)):
            parameter.grad = gradient
        self.optimizer.step()
        downstream_step()
        self.optimizer.zero_grad()

    def hyper_gradient(self, batch: Batch) -> tuple[Tensor, ...]:
        """One gradient per upstream parameter."""
        with self.optim_wrapper.optim_context(self.model):
            data = self.model.data_preprocessor(batch, training=True)
            inputs, samples = data['inputs'], data['data_samples']
            half = len(samples) // 2
            loss = self.loss(self.downstream, inputs[:half], samples[:half])
            gradients = torch.autograd.grad(
                loss, list(self.downstream.values()), create_graph=True)
            simulated = {
                name: parameter - self.inner_lr * gradient
                for (name, parameter), gradient in zip(
                    self.downstream.items(), gradients)
            }
            loss = self.loss(simulated, inputs[half:], samples[half:])
            return torch.autograd.grad(loss, list(self.upstream.values()))

    def loss(self, downstream: dict[str, Tensor], inputs: Tensor,
             samples: list[ActionDataSample]) -> Tensor:
        """The training loss with the given parameters, a scalar."""
        buffers = {n: b.clone() for n, b in self.model.named_buffers()}
        losses = functional_call(
            self.model, {**self.upstream, **downstream, **buffers},
            (inputs, samples), dict(mode='loss'))
        return self.model.parse_losses(losses)[0]
