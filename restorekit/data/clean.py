"""Clean photographs held decoded in memory, from which training crops are cut."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit import images
from restorekit.errors import DataError


def find_images(folders: Sequence[Path]) -> list[Path]:
    """The images in ``folders`` and their sub-folders, sorted; a file stands for itself.

    Raises:
        DataError: if a folder does not exist or none of them holds an image.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.exists():
            raise DataError(f"the image folder {folder} does not exist", "Correct the path in the recipe or with --set")
        inside = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        found += [path for path in inside if path.is_file() and images.is_image_path(path)]
    if not found:
        raise DataError(f"no image in {', '.join(map(str, folders))}", "Name a folder that holds photographs")
    return found


def load_rgb(path: Path) -> Tensor:
    """A photograph as ``(3, H, W)`` uint8; grey is repeated, 16 bit rounded, alpha dropped."""
    pixels = images.quantise(images.to_float(images.read(path).pixels), "uint8")
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    return tensor.expand(3, -1, -1).contiguous()


class CleanPhotographs:
    """Clean photographs in memory, as uint8 on one device.

    Args:
        folders: where they lie; sub-folders count.
        halve: file-name patterns of photographs to reduce to half size first, because they are not sharp at 1:1.
        pyramid: also keep each photograph at half size; a crop is cut from either with equal chance. Reduced photographs have
            more detail to the pixel.
        minimum: photographs whose shorter side is below this are left out.
        device: where the photographs are kept and crops are cut.

    Raises:
        DataError: if nothing remains.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        halve: Sequence[str] = (),
        pyramid: bool = True,
        minimum: int = 64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.levels: list[list[Tensor]] = []
        for path in find_images(folders):
            photograph = load_rgb(path).to(device)
            if any(fnmatch(path.name, pattern) for pattern in halve):
                photograph = _half(photograph)
            sizes = [photograph, _half(photograph)] if pyramid else [photograph]
            usable = [size for size in sizes if min(size.shape[1:]) >= minimum]
            if usable:
                self.levels.append(usable)
        if not self.levels:
            raise DataError(
                f"no photograph in {', '.join(map(str, folders))} is {minimum} pixels wide and high", "Add larger ones"
            )

    def __len__(self) -> int:
        return len(self.levels)

    def crops(self, count: int, size: int, generator: Generator, tries: int = 3) -> Tensor:
        """``count`` random crops ``(count, 3, size, size)`` in [0, 1], each mirrored, flipped and transposed at random.

        Of ``tries`` places in a photograph the one with the most detail is taken: skies teach little. Photographs smaller than
        ``size`` are surrounded by their mirror image.
        """
        return torch.stack([self._crop(size, generator, tries) for _ in range(count)])

    def _crop(self, size: int, generator: Generator, tries: int) -> Tensor:
        levels = self.levels[_below(len(self.levels), generator)]
        photograph = levels[_below(len(levels), generator)]
        height, width = photograph.shape[1:]
        places = [(_below(height - size + 1, generator), _below(width - size + 1, generator)) for _ in range(tries)]
        best = max((photograph[:, y : y + size, x : x + size].float() / 255 for y, x in places), key=_detail)
        mirror, flip, transpose = (torch.rand(3, generator=generator) < 0.5).tolist()
        best = best.flip(2) if mirror else best
        best = best.flip(1) if flip else best
        best = best.transpose(1, 2) if transpose else best
        missing = size - min(best.shape[1:])
        if missing > 0:
            best = _surround(best, size)
        return best


def _below(limit: int, generator: Generator) -> int:
    return int(torch.randint(max(limit, 1), (), generator=generator))


def _detail(crop: Tensor) -> float:
    grey = crop.mean(0)
    return float((grey[:, 1:] - grey[:, :-1]).abs().mean() + (grey[1:] - grey[:-1]).abs().mean())


def _half(photograph: Tensor) -> Tensor:
    reduced = F.interpolate(photograph[None].float(), scale_factor=0.5, mode="bicubic", antialias=True)
    return reduced[0].round().clamp(0, 255).to(torch.uint8)


def _surround(crop: Tensor, size: int) -> Tensor:
    while min(crop.shape[1:]) < size:
        bottom, right = (min(size - side, side - 1) if side < size else 0 for side in crop.shape[1:])
        crop = F.pad(crop, (0, right, 0, bottom), mode="reflect")
    return crop
