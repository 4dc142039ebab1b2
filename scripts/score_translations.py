"""Scores translations of the built-in data set against the truth.

    python scripts/score_translations.py --results results/toy/test_latest/images --dataroot datasets/toy

Says how far the fakes are from the true translations, and by how much that is better than leaving the
input as it is.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.toy.score import score, summary
from util.cli.arguments import Arguments
from util.errors import run
from util.files import write_whole
from util.log import info


def main(argv: Sequence[str] | None = None) -> None:
    parser = Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="folder of the <stem>_fake_B.png")
    parser.add_argument("--dataroot", type=Path, required=True, help="the toy data set")
    parser.add_argument("--json", type=Path, help="also write the figures into this file")
    given = parser.parse_args(argv)
    figures = score(given.results, given.dataroot)
    if given.json:
        write_whole(given.json, (json.dumps(figures, indent=2) + "\n").encode())
    info(summary(figures))


if __name__ == "__main__":
    sys.exit(run(main))
