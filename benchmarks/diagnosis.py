"""How often ``restorekit auto`` names the right verb.

    python benchmarks/diagnosis.py --clean data/val/clean/set14 data/val/clean/mcmaster18 --seed 2022

Clean photographs (by default those of ``examples/``) are looked at as they are, and as ``restorekit degrade`` makes them with
each kind and a fixed seed. The table is Markdown: a line for each kind, and the share of photographs that each verb was named
for. ``--as-they-are FOLDER`` adds a line for photographs of which something is wrong already.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from restorekit import images
from restorekit.data import find_images
from restorekit.degradations import degrade_photograph, get_degradation
from restorekit.diagnosis import diagnose
from restorekit.inference import taken_off_by

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
KINDS = ("noise", "motion", "haze", "rain", "snow", "raindrop", "reflection")
CLEAN = "nothing"
VERBS = (CLEAN, "denoise", "deblur", "dehaze", "derain", "desnow", "deraindrop", "dereflect")
STRONG = 4 / 255
"""Noise that anybody sees."""


asked = taken_off_by("deraindrop"), taken_off_by("dereflect", whole=True)


def verb_for(image: images.Image) -> str:
    findings = diagnose(image, *asked).findings
    return findings[0].tasks[0] if findings else CLEAN


def said(paths: Sequence[Path], kinds: Sequence[str], seed: int) -> Iterator[tuple[str, str]]:
    """What was made of each photograph, and the verb for that."""
    degradations = {kind: get_degradation(kind, {}, whole=True) for kind in kinds}
    for path in paths:
        clean = images.read(path)
        yield "clean", verb_for(clean)
        for kind, degradation in degradations.items():
            degraded = degrade_photograph(degradation, clean, seed)
            verb = verb_for(degraded)
            yield kind, verb
            if kind == "noise" and strength(degraded, clean) > STRONG:
                yield f"noise above {255 * STRONG:.0f}/255", verb


def strength(degraded: images.Image, clean: images.Image) -> float:
    """Standard deviation of what was added, in [0, 1]."""
    return float(np.std(images.to_float(degraded.pixels) - images.to_float(clean.pixels)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, nargs="+", default=[], help="folders of clean photographs")
    parser.add_argument("--as-they-are", type=Path, nargs="+", default=[], help="folders of other photographs, a line for each")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS, help="only these; all if left out")
    parser.add_argument("--seed", type=int, default=2022, help="fixes what happens to the photographs")
    parser.add_argument("--json", type=Path, help="write the counts here too")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    clean = find_images(arguments.clean) if arguments.clean else [] if arguments.as_they_are else example_photographs()
    counts: dict[str, Counter[str]] = {}
    for kind, verb in said(clean, arguments.kinds, arguments.seed):
        counts.setdefault(kind, Counter())[verb] += 1
    for folder in arguments.as_they_are:
        counts[str(folder)] = Counter(verb_for(images.read(path)) for path in find_images([folder]))
    table = Table("photographs", "count", *VERBS, box=MARKDOWN, title=f"seed {arguments.seed}, % of each line")
    for kind, verbs in counts.items():
        total = sum(verbs.values())
        table.add_row(kind, str(total), *(f"{100 * verbs[verb] / total:.0f}" for verb in VERBS))
    Console(width=160, emoji=False).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(counts, indent=1))


def example_photographs() -> list[Path]:
    return [path for path in sorted(EXAMPLES.glob("*.jpg")) if not path.stem.endswith("-blurred")]


if __name__ == "__main__":
    main()
