"""What measures how well look-alike classes are told apart."""
from .fine_grained_metric import FineGrainedMetric
from .look_alike import (
                         groups_from_confusions,
                         most_confused_pairs,
                         read_class_names,
                         read_groups,
                         within_group_accuracy,
)

__all__ = [
    'FineGrainedMetric', 'groups_from_confusions', 'most_confused_pairs',
    'read_class_names', 'read_groups', 'within_group_accuracy'
]
