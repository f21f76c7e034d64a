"""Clean photographs, from which training crops are cut."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import torch
from kornia.filters import gaussian_blur2d
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit import images
from restorekit.data.cache import DecodedImages
from restorekit.data.cloth import drape
from restorekit.data.crops import below, random_crop
from restorekit.data.problems import refuse
from restorekit.data.streams import ALL, one_for_each
from restorekit.degradations.base import uniform
from restorekit.errors import DataError
from restorekit.images.folders import visible_below

LEAST_SOFTENING = 0.2
"""Standard deviation in pixels below which a Gaussian is nothing but its centre."""


def find_images(folders: Sequence[Path]) -> list[Path]:
    """The images in ``folders`` and their sub-folders, sorted, but for hidden ones; a file stands for itself.

    Raises:
        DataError: if a folder does not exist or none of them holds an image.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.exists():
            raise DataError(f"the image folder {folder} does not exist", "Correct the path in the recipe or with --set")
        inside = [folder] if folder.is_file() else visible_below(folder)
        found += [path for path in inside if images.is_image_path(path)]
    if not found:
        raise DataError(f"no image in {', '.join(map(str, folders))}", "Name a folder that holds photographs")
    return found


def load_rgb(path: Path) -> Tensor:
    """A photograph as ``(3, H, W)`` uint8; grey is repeated, 16 bit rounded, alpha dropped."""
    pixels = images.quantise(images.to_float(images.read(path).pixels), "uint8")
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    return tensor.expand(3, -1, -1).contiguous()


class CleanPhotographs:
    """Clean photographs as uint8 on one device, decoded once as far as memory allows.

    Args:
        folders: where they lie; sub-folders count.
        halve: file-name patterns of photographs to reduce to half size first, because they are not sharp at 1:1.
        pyramid: also keep each photograph at half size; a crop is cut from either with equal chance. Reduced photographs have
            more detail to the pixel.
        cloth: share of crops that have drawn cloth over a part of them; see :mod:`restorekit.data.cloth`.
        soften: between which standard deviations, in pixels, crops are blurred by a Gaussian, drawn for each crop. Reduced
            photographs are sharper than what cameras give at 1:1, where fine grain is noise more often than texture.
        augment: see :func:`~restorekit.data.crops.random_crop`.
        minimum: photographs whose shorter side is below this are left out.
        device: where the photographs are kept and crops are cut.
        memory: bytes that decoded photographs may take; those beyond are decoded anew for each crop.

    Raises:
        DataError: naming every file that cannot be read, or if nothing remains.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        halve: Sequence[str] = (),
        pyramid: bool = True,
        cloth: float = 0.0,
        soften: tuple[float, float] = (0.0, 0.0),
        augment: bool = True,
        minimum: int = 64,
        device: torch.device | str = "cpu",
        memory: int = 4 << 30,
    ) -> None:
        def decode(path: Path) -> tuple[Tensor, ...]:
            photograph = load_rgb(path).to(device)
            if any(fnmatch(path.name, pattern) for pattern in halve):
                photograph = _half(photograph)
            sizes = (photograph, _half(photograph)) if pyramid else (photograph,)
            return tuple(size for size in sizes if min(size.shape[1:]) >= minimum)

        self.cloth = cloth
        self.soften = soften
        self.augment = augment
        self.images = DecodedImages(find_images(folders), decode, memory)
        refuse(self.images.load(), "Correct or remove these files")
        self.usable = [index for index, count in enumerate(self.images.counts) if count]
        if not self.usable:
            raise DataError(
                f"no photograph in {', '.join(map(str, folders))} is {minimum} pixels wide and high", "Add larger ones"
            )

    def __len__(self) -> int:
        return len(self.usable)

    @property
    def files(self) -> list[Path]:
        """The photographs that crops are cut from."""
        return [self.images.paths[index] for index in self.usable]

    def crops(self, count: int, size: int, generator: Generator, tries: int = 3, own: slice = ALL) -> Tensor:
        """Those ``own`` of ``count`` random crops ``(count, 3, size, size)`` in [0, 1]; see
        :func:`~restorekit.data.crops.random_crop`.
        """
        generators = one_for_each(count, generator)[own]
        return torch.stack(self.images.each(lambda of_one: self._crop(size, of_one, tries), generators))

    def _crop(self, size: int, generator: Generator, tries: int) -> Tensor:
        levels = self.images[self.usable[below(len(self.usable), generator)]]
        crop = random_crop(levels, size, generator, tries, self.augment)
        # Nothing is drawn where nothing is to be done: recipes without softening and cloth go on with the crops they had.
        if self.soften[1] > 0:
            crop = _softened(crop, float(uniform(generator, (), *self.soften)))
        if self.cloth and float(torch.rand((), generator=generator)) < self.cloth:
            crop = drape(crop.cpu(), generator).to(crop.device)
        return crop


def _half(photograph: Tensor) -> Tensor:
    reduced = F.interpolate(photograph[None].float(), scale_factor=0.5, mode="bicubic", antialias=True)
    return reduced[0].round().clamp(0, 255).to(torch.uint8)


def _softened(crop: Tensor, sigma: float) -> Tensor:
    if sigma < LEAST_SOFTENING:
        return crop
    side = 2 * round(3 * sigma + 0.5) + 1
    return gaussian_blur2d(crop[None], (side, side), (sigma, sigma))[0]
