"""SynthDive: rendered divers for fine-grained action recognition.

A class is (direction, number of somersaults, position). Direction and number
of somersaults show only over time, the position shows in every frame, so most
classes have look-alikes that differ in one of the two.
"""

from .clip import render_clip, sample_clip, spread_frames
from .config import SynthDiveConfig, class_names
from .contact_sheet import draw_contact_sheet
from .writer import write_dataset

__all__ = [
    'SynthDiveConfig', 'class_names', 'draw_contact_sheet', 'render_clip',
    'sample_clip', 'spread_frames', 'write_dataset'
]
