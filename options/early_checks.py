"""Checks for common mistakes before a plugin is imported, which imports torch and takes seconds.

What a plugin adds or changes is read from its source. A check is left to the time after the import where the
source does not tell.
"""

from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from options import checks, saved_options
from options.parser import Parser
from util import plugin_source, plugins
from util.errors import UserError

# (options of the run, where they are from) -> the shared options, the words that are not theirs, the parser
Gather = Callable[[saved_options.Options, str], tuple[Namespace, list[str], Parser]]


def check(gather: Gather, rules: Iterable[Callable[[Namespace], None]], *, needs_data: bool) -> None:
    """Look for unknown plugins and flags, a --dataroot that is not there, and whatever `rules` refuse.

    Raises:
        UserError: with the flag, its value and what to do.
    """
    opt, _, parser = gather({}, "")
    if opt.suffix:
        return  # the name of the run may contain options of plugins
    try:
        folder = checks.run_folder(opt)
        opt, words, parser = gather(saved_options.read_run(folder), f"the options of {folder}")
        for rule in rules:
            rule(opt)
        _check_plugins(opt, parser, words, needs_data=needs_data)
    except UserError:
        facts = _read_plugins(opt, parser)
        not_given = {"name", "checkpoints_dir", "epoch", "load_iter"} - parser.given()
        if not any(map(facts.may_set, not_given)):
            raise


def _check_plugins(opt: Namespace, parser: Parser, words: Sequence[str], *, needs_data: bool) -> None:
    _plugin_files(opt, parser)
    source, config = parser.layers[-1]
    unknown = [f"--{name}" for name in config if not parser.has(f"--{name}")]
    no_data = needs_data and (opt.dataroot is None or not Path(opt.dataroot).exists())
    if not words and not unknown and not no_data:
        return  # without the time to read the source of the plugins
    facts = _read_plugins(opt, parser)
    if facts.complete:
        _check_flags(parser, words, facts.flags)
        for flag in unknown:
            if _is_unknown(flag, parser, facts.flags):
                raise UserError(f"{source}: {parser.about_unknown(flag)}")
    if no_data and opt.dataroot is not None and facts.says("dataroot_must_exist", True):
        raise UserError(f"--dataroot {opt.dataroot} does not exist: check the path")
    if (
        no_data
        and opt.dataroot is None
        and facts.says("needs_dataroot", True)
        and not facts.may_set("dataroot")
    ):
        raise checks.no_dataroot(opt)


def _read_plugins(opt: Namespace, parser: Parser) -> plugin_source.Facts:
    """The facts about the model and about each data set that it may choose."""
    files = _plugin_files(opt, parser)
    if "dataset_mode" not in parser.given():
        known = plugins.files("dataset", opt.plugin_path)
        facts = plugin_source.read(files, opt.isTrain)
        names = {opt.dataset_mode} | facts.defaults.get("dataset_mode", set())
        # at test time a model may choose by its attribute, too
        if not names <= known.keys() or not (opt.isTrain or facts.says("test_dataset", None)):
            names = set(known)
        files += [known[name] for name in names]
    return plugin_source.read(files, opt.isTrain)


def _plugin_files(opt: Namespace, parser: Parser) -> list[Path]:
    """The files of the model and, if it is given, of the data set.

    Raises:
        UserError: there is no such plugin.
    """
    given = ["model", *(["dataset"] if "dataset_mode" in parser.given() else [])]
    return [plugins.file(kind, getattr(opt, plugins.FLAGS[kind]), opt.plugin_path) for kind in given]


def _check_flags(parser: Parser, words: Sequence[str], plugin_flags: set[str]) -> None:
    """Refuse words that are neither flags of the chosen plugins nor values of such flags."""
    for place, word in enumerate(words):
        stray = place == 0 and not word.startswith("-")
        if stray or (word.startswith("--") and _is_unknown(word.split("=")[0], parser, plugin_flags)):
            raise UserError(parser.about_unknown(word))


def _is_unknown(flag: str, parser: Parser, plugin_flags: set[str]) -> bool:
    """Whether a flag is neither one of `plugin_flags` nor a misspelt one, about which the plugins know more."""
    if flag in plugin_flags:
        return False
    return bool(plugin_source.owners(flag)) or parser.nearest(flag, plugin_flags) not in plugin_flags
