"""Checks for common mistakes before a plugin is imported, which imports torch and takes seconds.

The flags and defaults of plugins are read from their source. If the source does not determine the answer, the
check is left to the time after the import.
"""

import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence

from options import checks, saved_options
from options.parser import Parser
from util import plugin_source, plugins
from util.errors import UserError

# (options of the run, name of their file) -> the shared options, the words that are no shared flags, the parser
Gather = Callable[[saved_options.Options, str], tuple[Namespace, list[str], Parser]]


def check(gather: Gather, rules: Iterable[Callable[[Namespace], None]], *, needs_data: bool) -> None:
    """Refuse unknown plugins and flags, a missing --dataroot, and what `rules` refuse.

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
        defaults = {"name", "checkpoints_dir", "epoch", "load_iter"} - parser.given()
        if not any(map(facts.may_set, defaults)):
            raise


def _check_plugins(opt: Namespace, parser: Parser, words: Sequence[str], *, needs_data: bool) -> None:
    facts = _read_plugins(opt, parser)
    if facts.complete:
        source, config = parser.layers[-1]
        for name in config:
            if not parser.has(f"--{name}") and f"--{name}" not in facts.flags:
                raise UserError(f"{source}: {parser.about_unknown(f'--{name}', facts.flags)}")
        for position, word in enumerate(words):
            # only the first word cannot be the value of a plugin's flag
            stray = position == 0 and not word.startswith("-")
            if stray or (word.startswith("--") and word.split("=")[0] not in facts.flags):
                raise UserError(parser.about_unknown(word, facts.flags))
    if not needs_data or not facts.says("needs_dataroot", True):
        return
    if opt.dataroot is None and not facts.may_set("dataroot"):
        raise checks.no_dataroot(opt)
    if opt.dataroot and not os.path.exists(opt.dataroot) and facts.says("dataroot_must_exist", True):
        raise UserError(f"--dataroot {opt.dataroot} does not exist: check the path")


def _read_plugins(opt: Namespace, parser: Parser) -> plugin_source.Facts:
    """The facts about the model and about each data set that it may choose.

    Raises:
        UserError: there is no such plugin.
    """
    files = [plugins.file("model", opt.model, opt.plugin_path)]
    if "dataset_mode" in parser.given():
        files.append(plugins.file("dataset", opt.dataset_mode, opt.plugin_path))
        return plugin_source.read(files, opt.isTrain)
    datasets = plugins.files("dataset", opt.plugin_path)
    facts = plugin_source.read(files, opt.isTrain)
    names = {opt.dataset_mode} | facts.defaults.get("dataset_mode", set())
    # in testing, a model may also choose with its attribute `test_dataset`
    if names <= datasets.keys() and (opt.isTrain or facts.says("test_dataset", None)):
        datasets = {name: datasets[name] for name in names}
    return plugin_source.read([*files, *datasets.values()], opt.isTrain)
