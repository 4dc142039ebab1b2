"""The lowest layer: it imports nothing from models, data or options.

Modules that all layers use lie here; topics with several modules are packages.
"""
