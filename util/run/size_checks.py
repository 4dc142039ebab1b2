"""Checks of files of torch.save from somebody else: small files that would take memory or time without limit."""

import math
import pickletools
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from util.files import open_regular

ARCHIVE = b"PK\x03\x04"  # the first bytes
LARGEST_TUPLE = 10_000_000  # elements, with those of the tuples in it
_MARK = -1  # on the stack of tuple sizes


def check_file(path: Path) -> bool:
    """Raise an error if reading the file would take endless memory or time; -> whether it is an archive.

    Files of torch before 1.6 are not. They begin with four pickles, and the last one is the value.
    """
    with open_regular(path) as file:
        # as torch decides; an archive may also follow other bytes
        if file.read(len(ARCHIVE)) == ARCHIVE:
            with zipfile.ZipFile(path) as archive:
                _check_archive(archive, path)
            return True
        file.seek(0)
        for _ in range(4):
            _check_tuples(file)
    return False


def _check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    # torch.save compresses nothing, but torch.load reads compressed parts; it ignores the case of their names
    parts = archive.infolist()
    if sum(part.file_size for part in parts) > path.stat().st_size:
        raise ValueError("its parts are larger than the file")
    if len({part.orig_filename.casefold() for part in parts}) < len(parts):
        raise ValueError("two of its parts have the same name")
    for part in parts:
        if part.orig_filename.casefold().endswith("data.pkl"):
            with archive.open(part) as file:
                _check_tuples(file)


def check_tensors(value: object) -> None:
    """Raise ValueError if a tensor anywhere in `value` has many more elements than its memory has bytes.

    Its stride is 0 then, and a copy would take memory that the file does not have.
    """
    waiting, seen = [value], set[int]()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            if _is_expanded(item):
                raise ValueError(f"a tensor of shape {tuple(item.shape)} is larger than its contents")
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item


def _is_expanded(tensor: Tensor) -> bool:
    if tensor.is_sparse or tensor.is_meta or not all(stride >= 0 for stride in _strides(tensor)):
        return False
    return math.prod(tensor.shape) > max(1024, tensor.untyped_storage().nbytes())


def _strides(tensor: Tensor) -> Iterable[int]:
    try:
        return tensor.stride()
    except RuntimeError:  # a sparse layout, which is refused elsewhere
        return (-1,)


def _check_tuples(pickled: IO[bytes]) -> None:
    """Raise ValueError if a tuple, unfolded, has more than LARGEST_TUPLE elements.

    Tuples that hold the same tuples several times, as keys of a dict, have a hash that takes years to compute.
    """
    stack, memo = list[int](), dict[Any, int]()
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[argument] = stack[-1]
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif opcode.name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo[argument])
        else:
            popped = _pop(stack, opcode)
            size = 1 + sum(popped) if "TUPLE" in opcode.name else 1
            if size > LARGEST_TUPLE:
                raise ValueError("it holds tuples without end")
            stack += [_MARK if kept is pickletools.markobject else size for kept in opcode.stack_after]


def _pop(stack: list[int], opcode: pickletools.OpcodeInfo) -> list[int]:
    """Remove what an instruction takes from the stack."""
    popped = list[int]()
    count = len(opcode.stack_before)
    if pickletools.markobject in opcode.stack_before:
        while (size := stack.pop()) != _MARK:
            popped.append(size)
        count = opcode.stack_before.index(pickletools.markobject)
    return popped + [stack.pop() for _ in range(count)]
