"""Where FineGym's element clips are in the videos they are cut from.

Two kinds of files have the times, in seconds:

- the official ``finegym_annotation_info_v1.1.json``: for each video its
  events, each with the event's time in the video and, in ``segments``, the
  times of its elements from the event's start on;
- ``event_annotation.json``, which MMAction2's ``trim_event.py`` makes from it
  when it cuts the event clips: for each event clip the elements' times in it.
  When an event starts in its video is not there, only the whole second, in
  the event's name.

So the first gives segments of videos, the second segments of event clips.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from .reading import describe, read_json

ELEMENT = re.compile(r'([\w-]+)_(E_\d+_\d+)_(A_\d+_\d+)', re.ASCII)
HEADER = 'element,source,start,end'


def read_segments(path: str,
                  elements: Sequence[str]) -> tuple[list[str], list[str]]:
    """Lines of ``segments.csv``, and the elements that have no times.

    Columns are the element, its source, which is the name of the video or
    event clip without suffix, and start and end in the source, in seconds. An
    element of several stages goes from the first's start to the last's end.

    Args:
        path: The file with the times, of either kind.
        elements: Names ``VIDEO_E_…_A_…``.

    Raises:
        ValueError: The file is of neither kind, or an element's times are no
            times.
    """
    times = read_json(path)
    if not isinstance(times, dict):
        raise ValueError(f'{path} must hold a JSON object with videos or '
                         f'events, got {describe(times)}.')
    lines, untimed = [HEADER], []
    for element in elements:
        segment = _find(path, times, element)
        if segment is None:
            untimed.append(element)
        else:
            source, start, end = segment
            lines.append(f'{element},{source},{start:.3f},{end:.3f}')
    if len(untimed) == len(elements):
        raise ValueError(f'{path} has no times of any element of the lists, '
                         f'such as {elements[0]}.')
    return lines, untimed


def _find(path: str, times: dict[str, Any],
          element: str) -> tuple[str, float, float] | None:
    """Source, start and end of an element."""
    match = ELEMENT.fullmatch(element)
    assert match, element
    video, event, action = match.groups()
    source, offset = f'{video}_{event}', 0.0
    if source in times:
        segments = times[source]
    else:
        source = video
        entry = _get(times.get(video), event)
        segments = _get(entry, 'segments')
        if segments:
            offset = _span(f'{path}, {video}, {event}', entry)[0]
    segment = _get(segments, action)
    if segment is None:
        return None
    start, end = _span(f'{path}, {element}', segment)
    return source, offset + start, offset + end


def _get(mapping: Any, key: str) -> Any:
    return mapping.get(key) if isinstance(mapping, dict) else None


def _span(place: str, entry: Any) -> tuple[float, float]:
    """First start and last end of an entry's time stamps."""
    stamps = _get(entry, 'timestamps')
    if isinstance(stamps, list) and stamps and all(
            isinstance(pair, list) and len(pair) == 2 and all(
                type(t) in (int, float) and math.isfinite(t) for t in pair)
            for pair in stamps):
        start, end = stamps[0][0], stamps[-1][1]
        if 0 <= start < end:
            return start, end
    raise ValueError(f'{place}: timestamps must be a list of pairs of '
                     'seconds, the first start before the last end, got '
                     f'{describe(stamps)}.')
