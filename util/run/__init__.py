"""The life of a training run: what it saves, how it resumes, and how it stops.

This package contains the files of a run folder (weights, `latest_state.pt`), the state of the random generators,
the learning-rate schedule and the handling of signals. `util/display` and `util/pages` show a run.
"""
