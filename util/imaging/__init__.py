"""Images as arrays and tensors: conversion, grids, colour spaces, overlays, animations and sample sheets.

Here belong functions from pixels to pixels. Reading training data belongs to `data`; markup belongs to
`util/pages`.
"""
