"""Data sets: SynthDive, which is rendered, and preparing published ones."""

from .synthdive import (
    SynthDiveConfig,
    class_names,
    draw_contact_sheet,
    render_clip,
    sample_clip,
    spread_frames,
    write_dataset,
)

__all__ = [
    'SynthDiveConfig', 'class_names', 'draw_contact_sheet', 'render_clip',
    'sample_clip', 'spread_frames', 'write_dataset'
]
