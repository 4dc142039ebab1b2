"""The size of images after preprocessing, as far as the options determine it."""


def image_side(preprocess: str, *, load_size: int, crop_size: int) -> int | None:
    """Side in pixels of the square images that the networks get; None if it depends on the image."""
    if preprocess.endswith("crop") or preprocess in ("center", "long_edge"):
        return crop_size
    return load_size if preprocess == "resize" else None
