"""Small pieces of a command line that scripts and `options` share: parsers, flag types, package checks.

Here belong types of flags and sentences about wrong values. The flags themselves are declared in `options` and
in the plugins.
"""
