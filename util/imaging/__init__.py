"""Images as arrays and tensors: conversion, grids, colour spaces, overlays, animations and sample sheets.

Reading training data belongs to `data`, HTML to `util/pages`.
"""
