"""Mistakes that are told before a plugin is loaded, and torch with it."""

from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NoReturn

from options.parser import Parser
from util import plugins
from util.errors import UserError

Rule = Callable[[Namespace], None]

# no plugin of ours changes the defaults of these
UNTOUCHED = frozenset(
    """
    name checkpoints_dir epoch load_iter phase dataroot continue_train results_dir
    epoch_count accumulate diffaug display display_id no_html use_wandb
    """.split()
)


class Unsettled(Exception):
    """A plugin may still change this option."""


class Settled(Namespace):
    """The options that no plugin can change any more; to read another one raises Unsettled."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Unsettled(name)


def settled(opt: Namespace, given: Iterable[str]) -> Settled:
    """Of the shared options those that a person or a run has `given`, and where no plugin is a stranger UNTOUCHED."""
    values = vars(opt)
    names = {name for name in given if values.get(name) is not None}  # None: follows from others
    names |= {"isTrain", "model", "plugin_path"} | (set() if opt.plugin_path else UNTOUCHED & values.keys())
    if opt.suffix:
        names -= {"name"}  # which may hold options of plugins
    return Settled(**{name: values[name] for name in names & values.keys()})


def check(opt: Settled, rules: Iterable[Rule]) -> None:
    """Hold the options against each rule that reads settled options alone."""
    for rule in rules:
        with suppress(Unsettled):
            rule(opt)


def check_words(parser: Parser, words: Sequence[str], config: Sequence[str], source: str) -> None:
    """Refuse words of the command line, or names in a file of options, that no plugin of ours can be asking for."""
    theirs = plugins.flags() - parser._option_string_actions.keys()
    for name in config:
        if _is_nobodys(f"--{name}", parser, theirs):
            raise UserError(f"{source}: {parser.about_unknown(f'--{name}')}")
    for place, word in enumerate(words):
        # a later word may be the value of a plugin's flag
        stray = place == 0 and not word.startswith("--")
        if stray or (word.startswith("--") and _is_nobodys(word.split("=")[0], parser, theirs)):
            raise UserError(parser.about_unknown(word))


def _is_nobodys(flag: str, parser: Parser, theirs: set[str]) -> bool:
    """Whether no plugin has the flag; nor one so like it that it would be the one to name."""
    if flag in parser._option_string_actions:
        return False
    return flag not in theirs and parser.nearest(flag, theirs) not in theirs
