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

# the plugins that keep what is judged here: the defaults above, flags that their text names, images from --dataroot
OURS = {
    "model": """
        biggan cgan colorization cycle_gan cycle_gan_attn dcgan pix2pix sagan template test
    """.split(),
    "dataset": """
        aligned colorization folder hdf5 labeled noise single template torchvision unaligned
    """.split(),
}


class Unsettled(Exception):
    """A plugin may still change this option."""


class Settled(Namespace):
    """The options that no plugin can change any more; to read another one raises Unsettled."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Unsettled(name)


def strangers(opt: Namespace) -> bool:
    """Whether a chosen plugin may be a person's own, of which nothing is known before it is loaded."""
    chosen = {kind: vars(opt).get(flag) for kind, flag in plugins.PARTS.items()}
    return bool(opt.plugin_path) or any(
        name not in OURS[kind] and name in plugins.files(kind) for kind, name in chosen.items()
    )


def settled(opt: Namespace, given: Iterable[str]) -> Settled:
    """Of the shared options those that a person or a run has `given`, and where no plugin is a stranger UNTOUCHED."""
    values = vars(opt)
    names = {name for name in given if values.get(name) is not None}  # None: follows from others
    names |= {"isTrain", "model", "plugin_path"} | (set() if strangers(opt) else UNTOUCHED & values.keys())
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
    """Whether a flag is neither shared nor, as it is or misspelt, one of `theirs`.

    Which flag of a plugin was misspelt is told when that is loaded: it alone knows which of them it has.
    """
    if flag in parser._option_string_actions:
        return False
    return flag not in theirs and parser.nearest(flag, theirs) not in theirs
