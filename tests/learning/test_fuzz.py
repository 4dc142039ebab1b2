"""Two thousand mutated options, states, weights and command lines end in a result or in one sentence."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzzing import Fuzzer

pytestmark = pytest.mark.learning
FIRST, CASES = (
    int(os.environ.get(name, value)) for name, value in (("FUZZ_FIRST", "0"), ("FUZZ_CASES", "2000"))
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="cases run in forked processes")
def test_two_thousand_mutated_inputs(trained: Callable[[str], Path], unpaired: Path, tmp_path: Path) -> None:
    """FUZZ_CASES is another number of cases, and FUZZ_FIRST the number of the first one."""
    fuzzer = Fuzzer(tmp_path, trained("cycle_gan"), trained("dcgan"), unpaired, seed=0)
    start = time.perf_counter()
    faults = fuzzer.run(range(FIRST, FIRST + CASES))
    for kind, count in sorted(fuzzer.results.items()):
        print(f"{kind:<20} {count}")
    print(
        f"{sum(fuzzer.results.values())} cases in {time.perf_counter() - start:.0f} s, {len(faults)} faults"
    )
    assert not faults, "\n\n".join(faults[:20])
