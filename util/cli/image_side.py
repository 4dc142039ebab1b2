"""The size that preprocessing gives to images, as far as the options tell."""


def image_side(preprocess: str, *, load_size: int, crop_size: int) -> int | None:
    """Side in pixels of the square that the nets get; None where it depends on the image."""
    if preprocess.endswith("crop") or preprocess in ("center", "long_edge"):
        return crop_size
    return load_size if preprocess == "resize" else None
