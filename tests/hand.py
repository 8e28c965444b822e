"""A hand that writes unlike MNIST's: thin, leaning to the left, with a zero that is crossed out and a nine with a loop.

python -m tests.hand FOLDER EACH [FIRST]    writes FOLDER/CLASS/*.png, EACH of them for each digit
"""

import sys
from pathlib import Path

import numpy as np

from benchmarks.pictures import Canvas, Hand, handwritten, to_image

STROKES = {  # points of x,y in a box of 10 x 15, a smooth curve through each stroke's, | between strokes
    0: "5,0 1.5,4 1.5,11 5,15 8.5,11 8.5,4 5,0|3,11 7,4",
    1: "0,8 6,0|6,0 6,15|3,15 9,15",
    2: "1,4 4,0 8,3 5,10 1.5,13.5 0.5,11.5 3,11.5 6,14.5 10,13",
    3: "1,0 9,0|9,0 4,5.5|4,5.5 8.5,8.5 8,13 4,15 0.5,12.5",
    4: "0,0 0,8|0,8 10,8|9,0 9,15",
    5: "9.5,0.5 3,0|3,0 2,6|2,6 7,6 8.5,10 5,14.5 0.5,13.5",
    6: "9,0 3,2 1,8 1.5,12 5,14.5 8,11.5 4.5,9 2,11.5",
    7: "0.5,2.5 1,0.5|1,0.5 9.5,0|9.5,0 4,15|2.5,8 8.5,7",
    8: "5,0 2,3 5,6.5 8,3 5,0|5,6.5 1,11 5,15 9,11 5,6.5",
    9: "8,3 5,0.5 2,3.5 5,6.5 8,3|8,3 8.5,10 6,14.5 1,13 3,10 9,9",
}
LEAN = np.tan(np.radians(-35))  # to the left


def write_hand(folder: Path, each: int, first: int = 0) -> None:
    """Write pictures below `folder`/CLASS/: of each digit the `first` and those that follow."""
    for digit, strokes in STROKES.items():
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + each):
            hand = Hand(2026, digit, number)
            segments = handwritten(strokes, hand.chance) @ np.array([[1, 0], [-LEAN, 1]])
            segments = (segments - segments.min(axis=(0, 1))) / np.ptp(segments, axis=(0, 1)).max()
            canvas = Canvas(hand.between(90, 160), hand.between(0.03, 0.05), size=(0.5, 0.8))
            to_image(0.97 - 0.8 * canvas.draw(segments, hand)).save(folder / str(digit) / f"{number:04}.png")


if __name__ == "__main__":
    write_hand(Path(sys.argv[1]), int(sys.argv[2]), int((sys.argv[3:] or ["0"])[0]))
