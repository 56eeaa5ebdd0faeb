"""Parameter groups: the host's rules for the host, ours for DSTS."""
from collections import defaultdict
from typing import Any

from mmaction.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn
from torch.optim import SGD, Optimizer

from ..adapters.specialized import dsts_modules, unspecialized
from ..dsts import DSTSModule
from ..dsts.parameters import Role, parameter_roles
from .groups import GROUPS, convert_upstream_group


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DSTSOptimWrapperConstructor:
    """Wrap a constructor of the host, named inside ``paramwise_cfg``::

        optim_wrapper=dict(
            constructor='DSTSOptimWrapperConstructor',
            paramwise_cfg=dict(
                constructor='TSMOptimWrapperConstructor', fc_lr5=True,
                dsts=dict(lr_mult=1.0)),
            optimizer=dict(type='SGD', lr=0.02))

    The host's constructor sees the plain recognizer, so its rules hit what
    they were written for (TSM's takes the last linear layer it meets for the
    classifier, and never trains a bare parameter). The DSTS parameters then
    join as groups of their own, marked by ``name``:

    - ``dsts_kernels``: the bottleneck, and the shared part of kernels and
      readout, base learning rate and weight decay;
    - ``dsts_own_kernels``: the parameters private to each of N neurons,
      weight decay, and the base learning rate with SGD, 1/N of it with
      others. A neuron sees 1/N of the samples; SGD's steps are that much
      shorter by themselves, those of Adam and its kin are not;
    - ``dsts_norms``: norm layers, no weight decay;
    - ``dsts_upstream``: synapses and gate logits, no weight decay.
      UpstreamDownstreamHook, which trains them itself, empties the group
      before the run and reads its learning rate off it.

    Args:
        optim_wrapper_cfg: Config of the optimizer wrapper.
        paramwise_cfg: The host constructor's options; ``constructor``, its
            type (default: MMEngine's); and ``dsts``, a dict of ``lr_mult``
            and ``decay_mult`` for the DSTS groups (default 1), and
            ``own_lr_mult``, further for ``dsts_own_kernels`` (default: as
            above).

    Raises:
        ValueError: An unknown option in ``paramwise_cfg.dsts``, or a host
            constructor that makes several optimizers.
    """

    def __init__(self,
                 optim_wrapper_cfg: dict[str, Any],
                 paramwise_cfg: dict[str, Any] | None = None) -> None:
        paramwise_cfg = dict(paramwise_cfg or {})
        host = paramwise_cfg.pop('constructor',
                                 'DefaultOptimWrapperConstructor')
        multipliers = dict(paramwise_cfg.pop('dsts', None) or {})
        self.lr_mult = multipliers.pop('lr_mult', 1.0)
        self.decay_mult = multipliers.pop('decay_mult', 1.0)
        self.own_lr_mult = multipliers.pop('own_lr_mult', None)
        if multipliers:
            raise ValueError(
                'paramwise_cfg.dsts has no option '
                f'{", ".join(map(repr, multipliers))}; allowed are lr_mult, '
                'decay_mult and own_lr_mult.')
        self.host = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(
                type=host,
                optim_wrapper_cfg=optim_wrapper_cfg,
                paramwise_cfg=paramwise_cfg))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of a model."""
        if is_model_wrapper(model):
            model = model.module
        with unspecialized(model):
            optim_wrapper = self.host(model)
        if isinstance(optim_wrapper, OptimWrapperDict):
            raise ValueError(
                'paramwise_cfg.constructor of DSTSOptimWrapperConstructor '
                'must make a single OptimWrapper, and '
                f'{type(self.host).__name__} makes an OptimWrapperDict.')
        optimizer = optim_wrapper.optimizer
        groups = self._dsts_groups(model, optimizer)
        # The constructor of layer-wise decay names what is in its groups, and
        # torch wants names in all of an optimizer's groups or in none.
        if any('param_names' in group for group in optimizer.param_groups):
            names = {id(p): name for name, p in model.named_parameters()}
            for group in groups:
                group['param_names'] = [names[id(p)] for p in group['params']]
        for group in groups:
            optimizer.add_param_group(group)
        optimizer.register_load_state_dict_pre_hook(
            convert_upstream_group)
        return optim_wrapper

    def _dsts_groups(self, model: nn.Module,
                     optimizer: Optimizer) -> list[dict[str, Any]]:
        groups: dict[tuple[str, float], list[nn.Parameter]] = defaultdict(list)
        for module in dsts_modules(model):
            roles = parameter_roles(module)
            for name, parameter in module.named_parameters():
                if parameter.requires_grad:
                    role = roles[name]
                    lr_mult = (self._private_lr_mult(module, optimizer)
                               if role is Role.PRIVATE else 1.0)
                    groups[GROUPS[role], lr_mult].append(parameter)
        return [self._group(name, params, optimizer.defaults, lr_mult)
                for (name, lr_mult), params in sorted(groups.items())]

    def _private_lr_mult(self, module: DSTSModule,
                         optimizer: Optimizer) -> float:
        if self.own_lr_mult is not None:
            return self.own_lr_mult
        return 1 if isinstance(optimizer, SGD) else 1 / module.num_neurons

    def _group(self, name: str, params: list[nn.Parameter],
               defaults: dict[str, Any], lr_mult: float) -> dict[str, Any]:
        group: dict[str, Any] = dict(params=params, name=name)
        # Not from the config, which may leave them to the optimizer: AdamW
        # then decays by 0.01.
        if defaults.get('lr') is not None:
            group['lr'] = defaults['lr'] * self.lr_mult * lr_mult
            group['configured_lr'] = group['lr']
        if defaults.get('weight_decay') is not None:
            decays = name in (GROUPS[Role.COMMON], GROUPS[Role.PRIVATE])
            group['weight_decay'] = (
                defaults['weight_decay'] * self.decay_mult if decays else 0.0)
        return group
