"""Score translations of the toy data set by their distance to the true translations.

    python scripts/score_translations.py --results results/toy/test_latest/images --dataroot datasets/toy

Prints the mean absolute error of the translations, and by how much it is lower than that of the unchanged inputs.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.toy.score import score, summary
from util.cli.arguments import Arguments
from util.errors import run
from util.files import write_atomically
from util.log import info


def main(argv: Sequence[str] | None = None) -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder that holds <stem>_fake_B.png")
    parser.add_argument("--dataroot", type=Path, required=True, help="folder of the toy data set")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args(argv)
    figures = score(args.results, args.dataroot)
    if args.json:
        write_atomically(args.json, (json.dumps(figures, indent=2) + "\n").encode())
    info(summary(figures))


if __name__ == "__main__":
    raise SystemExit(run(main))
