"""``python -m tests.goldens FILE...``: check golden files, one line a file; exit code 1 if any fails."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.goldens.harness import check_file


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the files (and the ``*.json`` of the folders) named; 0 if none failed, 1 if any did."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.goldens",
        description="Check golden files against our code, one line a file; exit code 1 if any fails.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="a golden file, or a folder of them")
    counts: Counter[str] = Counter()
    for path in _files(parser.parse_args(arguments).paths):
        result = check_file(path)
        counts[result.status] += 1
        print(result, flush=True)
    print(f"{counts.total()} files: {counts['ok']} ok, {counts['FAILED']} failed, {counts['skipped']} skipped")
    return 1 if counts["FAILED"] else 0


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.glob("*.json"))
        else:
            yield path


if __name__ == "__main__":
    sys.exit(main())
