"""Parts of the training step that do not depend on an architecture.

`models/base_model.py` is built from them. Networks belong in `models/nets`, losses in the plugins and in
`models/nets/losses.py`.
"""
