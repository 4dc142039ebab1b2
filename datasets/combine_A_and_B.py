"""Runs scripts/combine_A_and_B.py from the place where upstream keeps it."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    script = Path(__file__).resolve().parents[1] / "scripts" / "combine_A_and_B.py"
    runpy.run_path(str(script), run_name="__main__")
