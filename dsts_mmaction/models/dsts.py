"""The names that imports of users know; they live elsewhere."""
from ..deploy.folding import fuse
from ..deploy.fused_module import DeployedDSTSModule
from ..dsts import DSTSModule, DSTSOutput

__all__ = ['DSTSModule', 'DSTSOutput', 'DeployedDSTSModule', 'fuse']
