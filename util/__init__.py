"""Ground floor: knows tensors, numbers and paths, and nothing of ours above it."""
