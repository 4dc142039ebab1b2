"""Checks for common mistakes before a plugin is imported, which imports torch and takes seconds.

What a plugin adds or changes is read from its source. A check is left to the time after the import where the
source does not tell.
"""

from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

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
        opt, words, parser = gather(saved_options.read_run(folder), str(folder))
        for rule in rules:
            rule(opt)
        _check_plugins(opt, parser, words, needs_data=needs_data)
    except UserError:
        model = plugins.file("model", opt.model, opt.plugin_path)
        facts = plugin_source.read([model, *_possible_datasets(opt, parser, model).values()], opt.isTrain)
        not_given = {"name", "checkpoints_dir", "epoch", "load_iter"} - parser.given()
        if not any(map(facts.may_set, not_given)):
            raise


def _check_plugins(opt: Namespace, parser: Parser, words: Sequence[str], *, needs_data: bool) -> None:
    model = plugins.file("model", opt.model, opt.plugin_path)
    source, config = parser.layers[-1]
    unknown = [f"--{name}" for name in config if not parser.has(f"--{name}")]
    no_data = needs_data and (opt.dataroot is None or not Path(opt.dataroot).exists())
    if "dataset_mode" in parser.given():
        plugins.file("dataset", opt.dataset_mode, opt.plugin_path)
    if not words and not unknown and not no_data:
        return  # without the time to read the source of the plugins
    datasets = _possible_datasets(opt, parser, model)
    facts = plugin_source.read([model, *datasets.values()], opt.isTrain)
    if facts.complete:
        _check_flags(parser, words, facts.flags)
        for flag in unknown:
            if _is_unknown(flag, parser, facts.flags):
                raise UserError(f"{source}: {parser.about_unknown(flag)}")
    if not no_data:
        return
    if opt.dataroot is not None and _all_say(datasets, "dataroot_must_exist"):
        raise UserError(f"--dataroot {opt.dataroot} does not exist: check the path")
    if opt.dataroot is None and not facts.may_set("dataroot") and _all_say(datasets, "needs_dataroot"):
        raise checks.no_dataroot(opt)


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


def _possible_datasets(opt: Namespace, parser: Parser, model: Path) -> dict[str, Path]:
    """Name -> file of every data set plugin that may be used."""
    if "dataset_mode" in parser.given():
        return {opt.dataset_mode: plugins.file("dataset", opt.dataset_mode, opt.plugin_path)}
    known = plugins.files("dataset", opt.plugin_path)
    facts = plugin_source.read([model], opt.isTrain)
    names = {opt.dataset_mode} | facts.defaults.get("dataset_mode", set())
    if not opt.isTrain:
        names |= {_attribute(model, f"{opt.model}model", "test_dataset")} - {None, plugin_source.MISSING}
    return {name: known[name] for name in names} if facts.complete and names <= known.keys() else known


def _all_say(datasets: dict[str, Path], attribute: str) -> bool:
    return all(_attribute(path, f"{name}dataset", attribute) is True for name, path in datasets.items())


def _attribute(path: Path, class_name: str, attribute: str) -> Any:
    """The value of a class attribute; text where the source does not tell it."""
    try:
        return plugin_source.class_attribute(path, class_name, attribute)
    except (LookupError, SyntaxError, UnicodeDecodeError):
        return "unknown"
