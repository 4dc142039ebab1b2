"""Images as arrays and tensors: conversion, grids, colour spaces, overlays, animations and sample sheets.

Functions from pixels to pixels belong here. Reading training data belongs to `data`, markup to `util/pages`.
"""
