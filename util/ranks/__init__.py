"""The processes of a run with several ranks: what torchrun tells them, and how one notices that another has ended.

The communication itself is in `util/distributed.py`, which is what models and scripts import.
"""
