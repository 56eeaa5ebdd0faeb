"""DSTS modules for the feature map, or the pathways, of a backbone."""
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..deploy.fused_module import DeployedDSTSModule
from ..dsts import DSTSModule
from ..utils.checks import check_flag
from .layouts import Features, describe, from_clips, to_clips


class Pathways(nn.ModuleList):
    """One :class:`DSTSModule` for each specialized pathway.

    Args:
        channels: Channels of the feature map, or of each pathway's.
        dsts: Options of :class:`DSTSModule`, without ``in_channels``; with
            ``deployed=True``, they are those of the module that the deployed
            one was made of (tools/deploy.py).
        pathways: Indices of the pathways to specialize. Defaults to all.
        backbone: Name of the backbone, for error messages.

    Raises:
        ValueError: An option that does not exist or is out of its range.
    """

    def __init__(self,
                 channels: int | Sequence[int],
                 dsts: dict[str, Any] | None = None,
                 pathways: Sequence[int] | None = None,
                 backbone: str = '(unknown)') -> None:
        super().__init__()
        options = dict(dsts or {})
        deployed = options.pop('deployed', False)
        allowed = [
            name for name in inspect.signature(DSTSModule).parameters
            if name != 'in_channels'
        ]
        for name in options:
            if name not in allowed:
                raise ValueError(f'dsts has no option {name!r}; allowed are '
                                 f'{", ".join(allowed)}, deployed.')
        check_flag('deployed', deployed)
        self.is_multi = not isinstance(channels, int)
        widths = list(channels) if self.is_multi else [channels]
        indices = list(range(len(widths)))
        if pathways is None:
            pathways = indices
        if (not isinstance(pathways, (list, tuple)) or not pathways
                or not set(pathways) <= set(indices)
                or len(set(pathways)) < len(pathways)):
            raise ValueError(
                f'pathways must be a list of different indices from 0 to '
                f'{indices[-1]}, got {pathways!r}.')
        self.pathways = tuple(pathways)
        self.num_pathways = len(widths)
        self.backbone = backbone
        make = _deployed if deployed else DSTSModule
        self.extend(make(widths[pathway], **options)
                    for pathway in self.pathways)

    def forward(self,
                features: Features,
                num_frames: int | None = None
                ) -> tuple[Features, dict[str, Tensor]]:
        """Specialize features; their layout stays as it is.

        Args:
            features: A map of shape (B, C, T, H, W) or (B * T, C, H, W), or
                one such map per pathway.
            num_frames: Frames T of one view, for the folded layout.

        Returns:
            The features (a tuple, if there are several pathways) and, in
            training, what goes into the recognizer's losses: the auxiliary
            losses, the largest share of the batch that one neuron of a
            layer got (1 when a layer has collapsed), and the norm of what
            the module added to the features over theirs (0 while it is the
            identity).

        Raises:
            ValueError: A layout that is not known, or channels that are not
                the configured ones.
        """
        if not self.is_multi:
            return self._specialize(self[0], features, num_frames)
        if (not isinstance(features, (list, tuple))
                or len(features) != self.num_pathways):
            raise ValueError(
                f'{self.num_pathways} pathways are configured, but backbone '
                f'{self.backbone} gave {describe(features)}.')
        features, logs = list(features), {}
        for module, pathway, suffix in zip(self, self.pathways,
                                           self.suffixes()):
            features[pathway], losses = self._specialize(
                module, features[pathway], num_frames)
            for name, value in losses.items():
                logs[f'{name}{suffix}'] = value
        return tuple(features), logs

    def _specialize(
            self, module: DSTSModule | DeployedDSTSModule,
            features: Tensor,
            num_frames: int | None) -> tuple[Tensor, dict[str, Tensor]]:
        clips = to_clips(features, num_frames, self.backbone)
        if clips.shape[1] != module.in_channels:
            raise ValueError(
                f'{module.in_channels} channels are configured, but backbone '
                f'{self.backbone} gave {describe(features)}: check channels '
                'of DSTSHead or in_channels of DSTSNeck, and the order of '
                'the pathways.')
        output = module(clips)
        logs = {
            f'loss_dsts_{name[len("loss_"):]}': loss
            for name, loss in output.losses.items()
        }
        if self.training:
            logs['dsts_largest_share'] = _largest_share(
                output.routing, module.num_neurons)
            logs['dsts_residual'] = _relative_norm(
                output.features.detach() - clips.detach(), clips.detach())
        return from_clips(output.features, features), logs

    def suffixes(self) -> list[str]:
        """What tells the modules apart in the names of logged values."""
        if not self.is_multi:
            return ['']
        return [f'_pathway{pathway}' for pathway in self.pathways]

    def reset_parameters(self) -> None:
        """Initialise every module anew, to the identity."""
        for module in self:
            module.reset_parameters()


def _deployed(in_channels: int, **options: Any) -> DeployedDSTSModule:
    """The deployed form, yet without weights, of a module of options."""
    with torch.device('meta'):  # for its checks and defaults only
        module = DSTSModule(in_channels, **options)
    return DeployedDSTSModule.like(module)


def _largest_share(routing: Tensor, num_neurons: int) -> Tensor:
    """Largest fraction of (num_layers, B) choices that one neuron got."""
    counts = torch.zeros(
        len(routing), num_neurons, device=routing.device).scatter_add_(
            1, routing, torch.ones_like(routing, dtype=torch.float32))
    return counts.max() / routing.shape[1]


def _relative_norm(part: Tensor, whole: Tensor) -> Tensor:
    """Norm of a tensor over that of another; 0 if that is 0."""
    part, whole = (torch.linalg.vector_norm(t.float()) for t in (part, whole))
    return torch.nan_to_num(part / whole, posinf=0.0)
