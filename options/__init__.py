"""Command-line options: declarations, files of options, and the checks that run before anything is built."""
