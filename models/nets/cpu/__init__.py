"""Layers that run on the CPU through compiled C++ functions, with torch's own layers as the fallback.

`cpu_kernels.py` decides which layers of a net are replaced; README.md explains the C++ in `csrc/`.
"""
