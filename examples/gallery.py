"""Make the pictures of docs/gallery: photographs that something goes wrong with, restored by the shipped models, at 1:1.

python examples/gallery.py [VERB...]
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from restorekit import images
from restorekit.evaluation import Protocol, score_pair

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "gallery"
SIDE = 256
GAP = 6


@dataclass(frozen=True)
class Case:
    """A row of a picture.

    Attributes:
        photograph: in this folder, without its ending.
        kind: what goes wrong.
        seed: fixes how.
        corner: the row and column where the detail that is shown begins.
        settings: of the degradation.
    """

    photograph: str
    kind: str
    seed: int
    corner: tuple[int, int]
    settings: tuple[str, ...] = field(default=())

    @property
    def command(self) -> list[str]:
        """How its degraded side is made, but for the files."""
        return ["degrade", "--kind", self.kind, "--seed", str(self.seed), *(f"--set={setting}" for setting in self.settings)]


GALLERY = {
    "deblur": [
        Case("lighthouse", "motion", 1, (150, 260), ("length=[7, 10]",)),
        Case("circuits", "motion", 1, (60, 60), ("length=[7, 10]",)),
        Case("lighthouse", "motion", 4, (150, 260), ("length=[22, 26]",)),
    ],
    "deblur-kernel": [Case("lighthouse", "lowlight", 3, (150, 260)), Case("kitten", "lowlight", 5, (60, 100))],
    "denoise": [
        Case("lighthouse", "noise", 2, (150, 260), ("iso=[3200, 3200]",)),
        Case("kitten", "noise", 3, (60, 100), ("iso=[12800, 12800]",)),
    ],
    "derain": [Case("lighthouse", "rain", 1, (150, 260)), Case("kitten", "rain", 2, (60, 100))],
    "desnow": [Case("lighthouse", "snow", 1, (150, 260)), Case("kitten", "snow", 2, (60, 100))],
    "dehaze": [Case("lighthouse", "haze", 1, (150, 260)), Case("kitten", "haze", 2, (60, 100))],
    "deraindrop": [Case("lighthouse", "raindrop", 1, (150, 260)), Case("kitten", "raindrop", 2, (60, 100))],
    "dereflect": [Case("lighthouse", "reflection", 1, (150, 260)), Case("circuits", "reflection", 2, (60, 60))],
}


def restorekit(*arguments: str | Path) -> None:
    """Run the program as a user would."""
    subprocess.run([sys.executable, "-m", "restorekit", *map(str, arguments), "--quiet"], check=True)


def row(verb: str, case: Case, folder: Path) -> np.ndarray:
    """Degraded, restored and clean, side by side; says how near the first two come to the third."""
    restorekit(*case.command, "--pairs", HERE / f"{case.photograph}.jpg", "-o", folder)
    degraded, clean = (folder / side / f"{case.photograph}.png" for side in ("input", "target"))
    given = ["--kernel", folder / "kernel" / f"{case.photograph}.png"] if verb == "deblur-kernel" else []
    restorekit(verb.partition("-")[0], degraded, "-o", folder / "restored.png", *given)
    before, after, truth = (images.read(path) for path in (degraded, folder / "restored.png", clean))
    scores = [score_pair(case.photograph, image, truth, Protocol()) for image in (before, after)]
    print(f"{verb}, {case.photograph}: PSNR {scores[0].psnr:.2f} -> {scores[1].psnr:.2f} dB")
    top, left = case.corner
    details = [image.pixels[top : top + SIDE, left : left + SIDE] for image in (before, after, truth)]
    space = np.full((SIDE, GAP, 3), 255, np.uint8)
    return np.hstack([details[0], space, details[1], space, details[2]])


def main(verbs: list[str]) -> None:
    """Make the pictures of these verbs."""
    OUT.mkdir(exist_ok=True)
    for verb in verbs or GALLERY:
        rows = []
        for number, case in enumerate(GALLERY[verb]):
            with TemporaryDirectory() as folder:
                rows += [row(verb, case, Path(folder))]
            if number + 1 < len(GALLERY[verb]):
                rows += [np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)]
        images.write(images.Image.from_array(np.vstack(rows)), OUT / f"{verb}.jpg", quality=90, overwrite=True)


if __name__ == "__main__":
    main(sys.argv[1:])
