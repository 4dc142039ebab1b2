"""The lowest layer: tensors, numbers and paths, with no import of models, data or options.

Modules that everybody uses lie flat here; topics with several modules are packages (run, display, pages,
imaging, cli, metrics).
"""
