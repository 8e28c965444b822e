"""Ten digits as a hand draws them: strokes of points in a box of side 1, x to the right and y down."""

from math import cos, radians, sin

Point = tuple[float, float]


def arc(x: float, y: float, across: float, down: float, start: float, end: float) -> list[Point]:
    """Points around (x, y), from one angle to the other in degrees, clockwise from the right."""
    angles = [radians(start + (end - start) * step / 24) for step in range(25)]
    return [(x + across * cos(angle), y + down * sin(angle)) for angle in angles]


DIGITS: dict[str, list[list[Point]]] = {
    "0": [arc(0.5, 0.5, 0.34, 0.48, -90, 270)],
    "1": [[(0.5, 0.02), (0.5, 0.98)]],
    "2": [[*arc(0.5, 0.28, 0.32, 0.27, -170, 40), (0.2, 0.96), (0.85, 0.96)]],
    "3": [arc(0.45, 0.26, 0.32, 0.25, -150, 90) + arc(0.45, 0.74, 0.36, 0.25, -90, 150)],
    "4": [[(0.42, 0.02), (0.12, 0.62), (0.9, 0.62)], [(0.68, 0.2), (0.68, 0.98)]],
    "5": [[(0.8, 0.03), (0.28, 0.03), (0.24, 0.43), *arc(0.46, 0.68, 0.34, 0.29, -130, 145)]],
    "6": [[(0.68, 0.03), (0.36, 0.2), (0.2, 0.5), (0.18, 0.72), *arc(0.48, 0.72, 0.3, 0.25, 180, 540)]],
    "7": [[(0.14, 0.05), (0.86, 0.05), (0.4, 0.98)]],
    "8": [arc(0.5, 0.26, 0.27, 0.24, 90, 450) + arc(0.5, 0.74, 0.33, 0.24, -90, 270)],
    "9": [[*arc(0.5, 0.28, 0.29, 0.26, 0, -360), (0.74, 0.98)]],
}
