"""Parts of a command line that scripts, plugins and `options` share: parsers, types of flags, package checks.

The flags themselves are declared in `options` and in the plugins.
"""
