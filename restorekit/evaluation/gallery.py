"""The pictures a report shows: the worst cases, in a form and a number that a page can carry."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from restorekit import images
from restorekit.evaluation.measures import scale_of
from restorekit.evaluation.report import Score, capped
from restorekit.evaluation.subjects import INPUT, Picture, as_image
from restorekit.images.colour import to_srgb

TARGET = "target"

Pixels = NDArray[np.uint8]

_QUALITIES = (100, 95, 90, 80)
_WEBP_SIDE = 16383


@dataclass(frozen=True)
class Policy:
    """How much of the pictures a page carries.

    Attributes:
        count: images shown, the worst first.
        pixels: a picture of more pixels is cut to a window of about 4 : 3, where the restored image is farthest from the target.
            It is never reduced: what is shown at 1:1 is what was computed.
        bytes: what all pictures together may take in the page. They are stored without loss if that fits, else as WebP of quality
            95, 90 or 80; if even that does not, the last images are left out.
    """

    count: int = 12
    pixels: int = 1 << 20
    bytes: int = 24 << 20


@dataclass(frozen=True)
class Exhibit:
    """The pictures of one image.

    Attributes:
        name: the image's.
        size: width and height of the image.
        window: left, top, width and height of the part that is shown.
        pictures: by name, ``(H, W, 3)``.
        why: why that part, if it is not the whole: ``"where the error is largest"``.
    """

    name: str
    size: tuple[int, int]
    window: tuple[int, int, int, int]
    pictures: Mapping[str, Pixels]
    why: str = ""


@dataclass(frozen=True)
class Showcase:
    """Exhibits as a page holds them.

    Attributes:
        exhibits: the images, the worst first.
        files: for each, its pictures by name as WebP files.
        quality: of the files; 100 is without loss.
        left_out: exhibits there was no room for.
    """

    exhibits: tuple[Exhibit, ...]
    files: tuple[Mapping[str, bytes], ...]
    quality: int
    left_out: int


@dataclass
class Gallery:
    """Keeps the pictures of the worst images while a set is scored, and no more than those.

    Args:
        policy: how many, how large.
    """

    policy: Policy = field(default_factory=Policy)
    _kept: list[tuple[float, int, Exhibit]] = field(default_factory=list)
    _seen: int = 0

    def offer(self, name: str, pictures: Mapping[str, Picture], target: Picture | None, scores: Sequence[Score]) -> None:
        """Keep the pictures if the image is among the worst so far: those whose first subject gained least, or scored worst."""
        if not self.policy.count:
            return
        badness = _badness(scores)
        self._seen += 1
        if len(self._kept) == self.policy.count and badness <= self._kept[-1][0]:
            return
        main = next((score.subject for score in scores if score.subject != INPUT), scores[0].subject)
        if target is not None:
            exhibit = make_exhibit(name, {**pictures, TARGET: target}, main, TARGET, self.policy.pixels)
        else:
            exhibit = make_exhibit(name, pictures, main, INPUT if INPUT in pictures else main, self.policy.pixels)
        self._kept = sorted([*self._kept, (badness, -self._seen, exhibit)], key=lambda item: item[:2], reverse=True)
        del self._kept[self.policy.count :]

    @property
    def exhibits(self) -> tuple[Exhibit, ...]:
        """What was kept, the worst first."""
        return tuple(exhibit for _, _, exhibit in self._kept)

    def show(self) -> Showcase:
        """The exhibits encoded within the policy's bytes."""
        return encode(self.exhibits, self.policy.bytes)


def make_exhibit(name: str, pictures: Mapping[str, Picture], main: str, reference: str, pixels: int) -> Exhibit:
    """The pictures of one image, cut to what they share and, if larger than ``pixels``, to where ``main`` and ``reference``
    differ most, in sRGB.
    """
    arrays = {label: to_pixels(picture) for label, picture in pictures.items()}
    height, width = (min(array.shape[side] for array in arrays.values()) for side in (0, 1))
    arrays = {label: array[:height, :width] for label, array in arrays.items()}
    window = find_window(arrays[main], arrays[reference], pixels)
    left, top, wide, high = window
    parts = {}
    for label, array in arrays.items():
        picture = pictures[label]
        like = pictures.get(INPUT) if isinstance(picture, np.ndarray) else picture  # arrays were computed of the input
        part = np.ascontiguousarray(array[top : top + high, left : left + wide])
        parts[label] = in_srgb(part, like) if isinstance(like, images.Image) else part
    why = "where the error is largest" if reference == TARGET else "where it changed most"
    return Exhibit(name, (width, height), window, parts, "" if main == reference else why)


def find_window(a: Pixels, b: Pixels, pixels: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of the window of at most ``pixels`` pixels with the largest square error; all if it fits, and
    the middle if there is no error.
    """
    height, width = a.shape[:2]
    if height * width <= pixels and max(height, width) <= _WEBP_SIDE:
        return 0, 0, width, height
    wide = min(width, max(1, int((pixels * 4 / 3) ** 0.5)))
    high = min(height, max(1, pixels // wide), _WEBP_SIDE)
    wide = min(width, max(1, pixels // high), _WEBP_SIDE)
    error = np.square(a.astype(np.float32) - b).mean(2)
    sums = cv2.integral(error)
    inside = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    if not inside.any():
        return (width - wide) // 2, (height - high) // 2, wide, high
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(left), int(top), wide, high


def encode(exhibits: Sequence[Exhibit], limit: int) -> Showcase:
    """The pictures as WebP, in the best quality in which all of them fit into ``limit`` bytes; see :class:`Policy`."""
    files: list[dict[str, bytes]] = []
    for quality in _QUALITIES:
        files, size = [], 0
        for exhibit in exhibits:
            files.append({label: _webp(pixels, quality) for label, pixels in exhibit.pictures.items()})
            size += sum(map(len, files[-1].values()))
            if size > limit and quality != _QUALITIES[-1]:
                break
        else:
            if size <= limit:
                return Showcase(tuple(exhibits), tuple(files), quality, 0)
    fitting = 0
    for table in files:
        limit -= sum(map(len, table.values()))
        if limit < 0:
            break
        fitting += 1
    return Showcase(tuple(exhibits[:fitting]), tuple(files[:fitting]), _QUALITIES[-1], len(exhibits) - fitting)


def _webp(pixels: Pixels, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture = PillowImage.fromarray(pixels)
    if quality == 100:
        picture.save(buffer, "WEBP", lossless=True, quality=20, method=1)  # quality is effort here; more gains little
    else:
        picture.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def to_pixels(picture: Picture) -> Pixels:
    """The picture as pages show it: ``(H, W, 3)``, rounded to 8 bits, without alpha."""
    pixels: Pixels = images.quantise(images.to_float(as_image(picture).pixels), "uint8")
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def in_srgb(pixels: Pixels, image: images.Image) -> Pixels:
    """Pixels ``(H, W, 3)`` in the colours of ``image``, as a screen that takes them for sRGB shows them."""
    profile = image.metadata.icc_profile
    if profile is None:
        return pixels
    held = PillowImage.fromarray(pixels[:, :, 0] if image.is_grey else pixels)
    return np.asarray(to_srgb(held, profile).convert("RGB"))


def _badness(scores: Sequence[Score]) -> float:
    """Higher for worse: the loss of the first subject against the input, or its score turned round."""
    metric = next(iter(scores[0].values))
    sign = -1 if scale_of(metric).higher else 1
    by_subject = {score.subject: capped(score.values[metric], metric) for score in scores}
    main = next((subject for subject in by_subject if subject != INPUT), None)
    if main is None:
        return sign * by_subject[INPUT]
    return sign * (by_subject[main] - by_subject.get(INPUT, 0.0))
