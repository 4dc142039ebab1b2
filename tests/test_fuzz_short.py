"""Sixty mutated options, states, weights and command lines; tests/learning/test_fuzz.py runs two thousand."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzzing import Fuzzer


@pytest.mark.skipif(not hasattr(os, "fork"), reason="cases run in forked processes")
def test_mutated_inputs_end_in_a_result_or_a_sentence(
    trained: Callable[[str], Path], unpaired: Path, tmp_path: Path
) -> None:
    fuzzer = Fuzzer(tmp_path, trained("cycle_gan"), trained("dcgan"), unpaired, seed=1)
    faults = fuzzer.run(range(60))
    assert not faults, "\n\n".join(faults[:5])
    assert sum(fuzzer.results.values()) == 60
