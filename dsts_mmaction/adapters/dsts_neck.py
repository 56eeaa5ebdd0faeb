"""A neck that specializes the features of Recognizer3D."""
from collections.abc import Callable, Sequence
from typing import Any

from mmaction.models.recognizers import Recognizer2D
from mmaction.registry import MODELS
from mmaction.utils import OptSampleList
from mmengine.model import BaseModule
from torch import Tensor, nn

from .layouts import Features
from .pathways import Pathways
from .recognizers import backbone_name, recognizer_under_construction


@MODELS.register_module()
class DSTSNeck(BaseModule):
    """Specialized neurons as a neck, for Recognizer3D::

        neck=dict(
            type='DSTSNeck', in_channels=2048, dsts=dict(num_neurons=10))

    Args:
        in_channels: Channels of the feature map; a sequence if the backbone
            has several pathways.
        dsts: Options of :class:`dsts_mmaction.models.DSTSModule`.
        pathways: Indices of the pathways to specialize. Defaults to all.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ValueError: Built into Recognizer2D, or a wrong option.
    """

    #: Called once in every forward of a loss with the features, the data
    #: samples and no options, before the features are specialized
    #: (UpstreamDownstreamHook).
    feature_listener: Callable[..., None] | None = None

    def __init__(self,
                 in_channels: int | Sequence[int],
                 dsts: dict[str, Any] | None = None,
                 pathways: Sequence[int] | None = None,
                 init_cfg: dict[str, Any] | None = None) -> None:
        super().__init__(init_cfg)
        recognizer = recognizer_under_construction()
        if isinstance(recognizer, Recognizer2D):
            raise ValueError(
                f'DSTSNeck cannot be a neck of {type(recognizer).__name__}, '
                'which removes the time axis after its neck: use DSTSHead '
                'around the recognizer\'s own head.')
        self.dsts = Pathways(in_channels, dsts, pathways,
                             backbone=backbone_name(recognizer))

    def forward(
        self,
        x: Features,
        data_samples: OptSampleList = None
    ) -> tuple[Features, dict[str, Tensor]]:
        """Specialized features, and in training the auxiliary losses."""
        if self.feature_listener is not None and data_samples is not None:
            self.feature_listener(x, data_samples, {})
        return self.specialize(x)

    def specialize(self, x: Features) -> tuple[Features, dict[str, Tensor]]:
        """As :meth:`forward`, without telling the listener."""
        return self.dsts(x)

    def init_weights(self) -> None:
        """Initialise DSTS to the identity."""
        self.dsts.reset_parameters()
        super().init_weights()

    def unspecialized(self) -> nn.Module:
        """What stands here in the plain recognizer: nothing."""
        return nn.Identity()
