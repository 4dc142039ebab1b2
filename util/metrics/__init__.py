"""How good the pictures are, in numbers: one small file for each measure."""
