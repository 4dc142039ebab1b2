"""The life of a training run: what it saves, how it resumes, and how it stops.

Here belong the files of a run folder (weights, `latest_state.pt`), the state of the random generators,
the learning-rate schedule and the handling of signals. What a run shows belongs to `util/display` and
`util/pages`; what it computes belongs to `models`.
"""
