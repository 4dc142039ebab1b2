"""Parts of the training step that know no architecture: optimizer, averaging, augmentation, execution.

`models/base_model.py` puts them together. Networks belong to `models/nets`; losses belong to the plugins and
to `models/nets/losses.py`.
"""
