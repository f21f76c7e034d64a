"""Colours other than grey and RGB: CMYK through its ICC profile, there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image as PillowImage
    from PIL import ImageCms

Space = Literal["GRAY", "RGB", "CMYK"]


def space_of(profile: bytes | None) -> str:
    """The colour space an ICC profile describes, for example ``"RGB"``, ``"CMYK"``, ``"GRAY"``; empty if it is no profile.

    Source: ICC.1:2022, table 18: a signature of four letters at byte 16, the file signature ``acsp`` at byte 36.
    """
    if profile is None or len(profile) < 132 or profile[36:40] != b"acsp":
        return ""
    return profile[16:20].decode("latin-1").strip()


def describes(profile: bytes | None, space: Space) -> bool:
    """Whether a profile may go with pixels of a colour space; an RGB profile may with grey ones too, as many files have it so."""
    found = space_of(profile)
    return found == space or (found == "RGB" and space == "GRAY")


class CMYKConverter:
    """Between CMYK and sRGB, 8 bits each, through a profile if there is a usable one.

    With a profile: relative colorimetric intent with black point compensation, so that paper white is white. Without: naively, as
    Pillow does it; ``R = (255 - C) (255 - K) / 255`` and back with K = 0, so that RGB to CMYK to RGB changes nothing.

    Args:
        profile: an ICC profile. One that is damaged or not of CMYK is ignored.
    """

    def __init__(self, profile: bytes | None) -> None:
        self.profile = profile if space_of(profile) == "CMYK" else None
        self._transforms: dict[str, ImageCms.ImageCmsTransform | None] = {}

    def to_rgb(self, cmyk: PillowImage.Image) -> PillowImage.Image:
        """An ``RGB`` image of a ``CMYK`` one."""
        return self._apply(cmyk, "RGB")

    def to_cmyk(self, rgb: PillowImage.Image) -> PillowImage.Image:
        """A ``CMYK`` image of an ``RGB`` one."""
        return self._apply(rgb, "CMYK")

    def _apply(self, image: PillowImage.Image, mode: str) -> PillowImage.Image:
        from PIL import ImageCms

        if mode not in self._transforms:
            self._transforms[mode] = self._transform(mode)
        transform = self._transforms[mode]
        converted = ImageCms.applyTransform(image, transform) if transform else image.convert(mode)
        return converted if converted is not None else image.convert(mode)

    def _transform(self, mode: str) -> ImageCms.ImageCmsTransform | None:
        if self.profile is None:
            return None
        return _transform(self.profile, "CMYK", into_profile=mode == "CMYK")


def rgb_to_srgb(image: PillowImage.Image, profile: bytes | None) -> PillowImage.Image:
    """An 8-bit ``RGB`` image in sRGB, for formats that hold no profile; the same image if its profile is unusable."""
    from PIL import ImageCms

    transform = _transform(profile, "RGB", into_profile=False) if profile and space_of(profile) == "RGB" else None
    converted = ImageCms.applyTransform(image, transform) if transform else None
    return converted if converted is not None else image


def _transform(profile: bytes, space: str, *, into_profile: bool) -> ImageCms.ImageCmsTransform | None:
    """A transform between a profile and sRGB, or None if the colour engine will not have that profile."""
    from io import BytesIO

    from PIL import ImageCms

    try:
        own, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
        source, target, modes = (srgb, own, ("RGB", space)) if into_profile else (own, srgb, (space, "RGB"))
        return ImageCms.buildTransform(
            source,
            target,
            *modes,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
