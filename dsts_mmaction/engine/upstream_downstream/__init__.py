"""What UpstreamDownstreamHook is made of, beside the hyper-gradient itself
(``dsts_mmaction/models/dsts/hyper_gradient.py``)."""
from . import checks
from .building import build
from .held_out import HeldOutLoader
from .learner import UpstreamLearner
from .random_streams import derive_seed, random_streams
from .routing_statistics import RoutingStatistics, routing_statistics
from .samples import Samples, half
from .tails import RecognizerTail, Tail, make_tail
from .upstream_group import (UPSTREAM_GROUP, convert_upstream_group,
                             upstream_group)

__all__ = [
    'HeldOutLoader', 'RecognizerTail', 'RoutingStatistics', 'Samples', 'Tail',
    'UPSTREAM_GROUP', 'UpstreamLearner', 'build', 'checks',
    'convert_upstream_group', 'derive_seed', 'half', 'make_tail',
    'random_streams', 'routing_statistics', 'upstream_group'
]
