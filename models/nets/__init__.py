"""Network families, one file each, and the layers that they share; plugins reach them through models.networks.

A file that registers a family (families.py) needs no other edit. Training code does not belong here.
"""
