"""The diver: joints of a pose and how they are drawn.

Lengths are in body heights. The diver faces +x and stands along +y before he
is rotated; image rows grow downwards.
"""

from dataclasses import dataclass

import cv2
import numpy as np

POSITIONS = ('tuck', 'pike', 'straight')

# Flexion in degrees: hip, knee, shoulder (0 = arm hangs down), elbow.
JOINT_ANGLES = {
    'tuck': (128.0, 140.0, 62.0, 10.0),
    'pike': (122.0, 0.0, 100.0, 0.0),
    'straight': (0.0, 0.0, 14.0, 0.0),
}
TORSO, THIGH, SHANK, UPPER_ARM, FOREARM = 0.30, 0.25, 0.25, 0.15, 0.15
HEAD_DISTANCE, HEAD_RADIUS = 0.11, 0.085
Points = dict[str, np.ndarray]
Color = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """Appearance of a diver; colours are (blue, green, red), 0 to 255."""
    skin: Color
    suit: Color
    legs: Color
    cap: Color
    thickness: float  # of limbs, in body heights


def flexion(position: str, amount: float, offset: np.ndarray) -> np.ndarray:
    """Joint angles between standing straight and a position.

    Args:
        position: One of :data:`POSITIONS`.
        amount: 0 (straight) to 1 (the position fully taken).
        offset: Personal deviation in degrees, shape (4,).

    Returns:
        Angles of hip, knee, shoulder and elbow in degrees, shape (4,).
    """
    rest = np.array(JOINT_ANGLES['straight'])
    full = np.array(JOINT_ANGLES[position])
    return rest + amount * (full - rest) + offset


def joints(angles: np.ndarray) -> Points:
    """Joint positions of an upright diver, shape (2,) each.

    The origin is the hip: a camera that follows the hip sees the head on the
    same circle in every position, so that the position hides no rotation.

    Args:
        angles: Flexion of hip, knee, shoulder and elbow in degrees.
    """
    hip, knee, shoulder, elbow = np.deg2rad(angles)

    def downwards(angle: float) -> np.ndarray:
        return np.array([np.sin(angle), -np.cos(angle)])

    points = {'hip': np.zeros(2), 'shoulder': np.array([0.0, TORSO])}
    # A flexed hip rounds the back a little, which brings the head forward.
    points['head'] = points['shoulder'] + HEAD_DISTANCE * np.array(
        [np.sin(0.2 * hip), np.cos(0.2 * hip)])
    points['knee'] = THIGH * downwards(hip)
    points['ankle'] = points['knee'] + SHANK * downwards(hip - knee)
    points['elbow'] = points['shoulder'] + UPPER_ARM * downwards(shoulder)
    points['hand'] = points['elbow'] + FOREARM * downwards(shoulder + elbow)
    return points


def place(points: Points, angle: float, height: float,
          centre: np.ndarray) -> Points:
    """Rotate, scale and move a diver into the image.

    Args:
        points: Joints from :func:`joints`.
        angle: Rotation in degrees, clockwise as seen in the image. The diver
            faces right, so clockwise is forward.
        height: Body height in pixels.
        centre: Column and row of the hip in pixels, shape (2,).
    """
    sin, cos = np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))
    # Clockwise on screen with y up, then y flipped to rows.
    matrix = height * np.array([[cos, sin], [sin, -cos]])
    return {name: centre + matrix @ point for name, point in points.items()}


def draw(image: np.ndarray, points: Points, height: float, look: Look) -> None:
    """Draw a diver into an image in place.

    Args:
        image: uint8, shape (H, W, 3), BGR.
        points: Joints in pixels from :func:`place`.
        height: Body height in pixels.
        look: Colours and thickness.
    """
    width = max(1, round(look.thickness * height))

    def limb(first: str, second: str, color: Color, thickness: int) -> None:
        start, end = (tuple(int(v) for v in np.round(points[name]))
                      for name in (first, second))
        cv2.line(image, start, end, color, thickness)
        # cv2.line rounds only some ends; discs make every joint round.
        for point in (start, end):
            cv2.circle(image, point, thickness // 2, color, -1)

    limb('hip', 'knee', look.legs, width)
    limb('knee', 'ankle', look.legs, width)
    limb('hip', 'shoulder', look.suit, round(1.35 * width))
    limb('shoulder', 'elbow', look.skin, max(1, round(0.75 * width)))
    limb('elbow', 'hand', look.skin, max(1, round(0.75 * width)))
    head = tuple(int(v) for v in np.round(points['head']))
    cv2.circle(image, head, round(HEAD_RADIUS * height), look.cap, -1)
