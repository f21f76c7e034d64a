"""How data sets lie on disk: which input belongs to which target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from restorekit import images
from restorekit.data.problems import refuse
from restorekit.data.templates import compile_template, fill, names_in, without_extension
from restorekit.errors import DataError, SettingError, UnknownNameError
from restorekit.images.folders import visible_below


@dataclass(frozen=True)
class Layout:
    """Where inputs and targets are.

    Attributes:
        input: template of the degraded side.
        target: template of the clean side; it uses only names that ``input`` uses.
        splits: what ``{split}`` stands for in each part of the data set.
        listing: template of a text file that names the inputs of a part, one a line, alone or beside their targets; empty where
            the folders tell.
    """

    input: str
    target: str
    splits: Mapping[str, str] = field(default_factory=dict)
    listing: str = ""

    def __post_init__(self) -> None:
        unknown = names_in(self.target) - names_in(self.input)
        if unknown:
            raise SettingError(
                f"the template '{self.target}' uses {', '.join(sorted(unknown))}, which '{self.input}' does not have"
            )

    @property
    def has_parts(self) -> bool:
        """Whether the data set has parts: whether anything depends on ``{split}``."""
        return "{split}" in f"{self.input}{self.target}{self.listing}"

    def pairs(self, root: Path, split: str) -> list[tuple[Path, Path]]:
        """Inputs and targets in ``root``, sorted by the input's path.

        Raises:
            DataError: naming everything that has no partner, or if there are no pairs at all.
        """
        found, problems = self.find(root, split)
        refuse(problems, "Add the missing files, or remove those that stand alone")
        return found

    def find(self, root: Path, split: str) -> tuple[list[tuple[Path, Path]], list[str]]:
        """Inputs and targets in ``root``, sorted by the input's path, and what has no partner, in words. Hidden files are none.

        Raises:
            DataError: if there is nothing of the kind at all.
        """
        if not root.is_dir():
            raise DataError(
                f"the data set {root} does not exist" if not root.exists() else f"{root} is not a folder", "Correct the path"
            )
        part = self.splits.get(split, split)
        files = {p.relative_to(root).as_posix(): p for p in visible_below(root) if images.is_image_path(p)}
        by_stem = {without_extension(name): path for name, path in files.items()}
        listed = self._listed(root, part)
        pattern, found, missing = compile_template(self.input, part), [], self._deeper(files, part)
        filled: dict[str, Path] = {}
        for name, path in files.items():
            match = pattern.fullmatch(name)
            if match is None or (listed is not None and name not in listed):
                continue
            wanted = fill(self.target, {**match.groupdict(), "split": part})
            partner = by_stem.get(wanted[:-2]) if wanted.endswith(".*") else files.get(wanted)
            if self._pairs_one_to_one and filled.setdefault(wanted, path) is not path:
                missing.append(f"{path} and {filled[wanted]} have one name")
            elif partner is None:
                missing.append(f"{path} has no partner {root / wanted}")
            else:
                found.append((path, partner))
        missing += [
            f"{root / name} is not there, though {root / self._list_of(part)} names it"
            for name in sorted(listed or ())
            if pattern.fullmatch(name) and name not in files
        ]
        missing += self._left_over(files, part, {partner for _, partner in found}, listed)
        if not found and not missing:
            raise DataError(
                f"{root} holds no pairs of the form {self.input} with {self.target} for the part '{split}'",
                "Check the folder and the layout; a recipe can give input and target instead",
            )
        return found, missing

    def _listed(self, root: Path, part: str) -> set[str] | None:
        if not self.listing:
            return None
        path = root / self._list_of(part)
        try:
            return set(path.read_text(encoding="utf-8").split())
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}", "It comes with the data set") from None

    def _list_of(self, part: str) -> str:
        return fill(self.listing, {"split": part})

    @property
    def _pairs_one_to_one(self) -> bool:
        """Whether a target has one input at most."""
        return names_in(self.target) == names_in(self.input)

    def _deeper(self, files: Mapping[str, Path], part: str) -> list[str]:
        """Files in folders of the folder of inputs, which would be passed over without a word."""
        top = self.input.rpartition("/")[0].replace("{split}", part)
        if not top or "{" in top:
            return []
        depth = top.count("/") + 2
        return [
            f"{path} lies in a folder of {top}/, where none is looked into"
            for name, path in files.items()
            if name.startswith(f"{top}/") and name.count("/") + 1 > depth
        ]

    def _left_over(self, files: Mapping[str, Path], part: str, used: set[Path], listed: set[str] | None) -> list[str]:
        """Targets without an input, where no list leaves some out."""
        if listed is not None or not self._pairs_one_to_one:
            return []
        pattern = compile_template(self.target, part)
        return [f"{path} has no input" for name, path in files.items() if pattern.fullmatch(name) and path not in used]


LAYOUTS: dict[str, Layout] = {
    "folders": Layout("input/{id}.*", "target/{id}.*"),
    "split-folders": Layout("{split}/input/{id}.*", "{split}/target/{id}.*"),
    "gopro": Layout("{split}/{scene}/blur/{id}.png", "{split}/{scene}/sharp/{id}.png"),
    "gopro-gamma": Layout("{split}/{scene}/blur_gamma/{id}.png", "{split}/{scene}/sharp/{id}.png"),
    "realblur-j": Layout(
        "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/{scene}/blur/blur_{id}.png",
        "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/{scene}/gt/gt_{id}.png",
        listing="RealBlur_J_{split}_list.txt",
    ),
    "realblur-r": Layout(
        "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref/{scene}/blur/blur_{id}.png",
        "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref/{scene}/gt/gt_{id}.png",
        listing="RealBlur_R_{split}_list.txt",
    ),
    "reds": Layout("{split}/{split}_blur/{scene}/{id}.png", "{split}/{split}_sharp/{scene}/{id}.png", {"test": "val"}),
    "sidd": Layout("Data/{scene}/{id}_NOISY_SRGB_{number}.PNG", "Data/{scene}/{id}_GT_SRGB_{number}.PNG"),
    "rain100": Layout("rainy/rain-{id}.png", "norain-{id}.png"),
    "raindrop": Layout("{split}/data/{id}_rain.png", "{split}/gt/{id}_clean.png", {"test": "test_a"}),
    "snow100k": Layout("synthetic/{id}.jpg", "gt/{id}.jpg"),
    "outdoor-rain": Layout("in/{id}_s{s}_a{a}.png", "gt/{id}.png"),
    "uhdrr": Layout("blended/{id}.*", "transmission_layer/{id}.*"),
    "ceilnet": Layout("blended/{id}.*", "transmission_layer/{id}.*"),
}
"""Layouts by the name ``data.layout`` knows them by, as the authors' archives unpack."""


def get_layout(name: str, input: str = "", target: str = "") -> Layout:
    """The layout called ``name``, or the one of the two templates where they are given.

    Raises:
        UnknownNameError: for a name that no layout has.
        SettingError: for templates that do not go together.
    """
    if bool(input) != bool(target):
        raise SettingError("data.input and data.target go together", "Give both templates, or neither")
    if input:
        return Layout(input, target)
    if name not in LAYOUTS:
        raise UnknownNameError("layout", name, LAYOUTS)
    return LAYOUTS[name]
