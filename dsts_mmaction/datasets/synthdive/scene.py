"""Everything behind the diver: sky, water, springboard and clutter."""

from dataclasses import dataclass

import cv2
import numpy as np

from .figure import Color, Look

# Of the bathing cap in an easy clip; it fades into the skin's colour.
CAP_COLOR = np.array([30.0, 30.0, 235.0])


@dataclass(frozen=True)
class Scene:
    """A background; positions and sizes are in parts of the frame's side."""
    sky: Color
    water: Color
    water_level: float
    board: Color
    board_side: str  # 'left' or 'right'
    board_level: float
    board_length: float
    # Each piece of clutter: (column, row, width, height, b, g, r, is_ellipse)
    clutter: tuple[tuple[float, ...], ...]


def _tint(rng: np.random.Generator, luma: float, chroma: float) -> Color:
    """A random colour (BGR, 0 to 255) of about the given brightness."""
    offset = rng.uniform(-chroma, chroma, 3)
    return tuple(
        float(v) for v in np.clip(255 * (luma + offset - offset.mean()), 0,
                                  255))


def sample_colors(rng: np.random.Generator,
                  difficulty: float) -> tuple[Scene, Look]:
    """Draw a background and a diver that stands out from it.

    The contrast between the two falls with ``difficulty``.
    """
    luma = rng.uniform(0.2, 0.8)
    contrast = 0.5 - 0.25 * difficulty
    body = luma + contrast if luma < 0.5 else luma - contrast
    skin = _tint(rng, body, 0.2)
    cap = (1 - difficulty) * CAP_COLOR + difficulty * np.array(skin)
    look = Look(
        skin=skin,
        suit=_tint(rng, np.clip(body + rng.uniform(-0.1, 0.1), 0, 1), 0.2),
        legs=_tint(rng, np.clip(body + rng.uniform(-0.1, 0.1), 0, 1), 0.2),
        cap=tuple(float(v) for v in cap),
        thickness=rng.uniform(0.09, 0.12))
    clutter = []
    for _ in range(rng.poisson(8 * difficulty)):
        color = _tint(rng, np.clip(luma + rng.uniform(-0.2, 0.2), 0, 1), 0.1)
        clutter.append((*rng.uniform(0, 1, 2), *rng.uniform(0.05, 0.3, 2),
                        *color, float(rng.random() < 0.5)))
    scene = Scene(
        sky=_tint(rng, luma, 0.1),
        water=_tint(rng, np.clip(luma + rng.uniform(-0.15, 0.15), 0, 1), 0.15),
        water_level=rng.uniform(0.85, 1.0),
        board=_tint(rng, rng.uniform(0.1, 0.9), 0.1),
        board_side=str(rng.choice(['left', 'right'])),
        board_level=rng.uniform(0.1, 0.9),
        board_length=rng.uniform(0.08, 0.22),
        clutter=tuple(clutter))
    return scene, look


def draw_scene(side: int, scene: Scene, shift: np.ndarray) -> np.ndarray:
    """Draw a background.

    Args:
        side: Height and width in pixels.
        scene: What to draw.
        shift: Columns and rows by which the camera moved, shape (2,).

    Returns:
        uint8, shape (side, side, 3), BGR.
    """
    image = np.empty((side, side, 3), np.uint8)
    image[:] = np.round(scene.sky)

    def pixel(column: float, row: float) -> tuple[int, int]:
        return (round(column * side + shift[0]), round(row * side + shift[1]))

    for column, row, width, height, *color, is_ellipse in scene.clutter:
        if is_ellipse:
            axes = round(width * side / 2), round(height * side / 2)
            cv2.ellipse(image, pixel(column, row), axes, 0, 0, 360, color, -1)
        else:
            cv2.rectangle(image, pixel(column, row),
                          pixel(column + width, row + height), color, -1)
    # Drawn past the frame so that a moving camera shows no gap.
    cv2.rectangle(image, pixel(-1, scene.water_level), pixel(2, 2),
                  scene.water, -1)
    edges = ((-1.0, scene.board_length) if scene.board_side == 'left' else
             (1 - scene.board_length, 2.0))
    cv2.rectangle(image, pixel(edges[0], scene.board_level),
                  pixel(edges[1], scene.board_level + 0.04), scene.board, -1)
    return image
