"""Network families, one file each; plugins reach them through models.networks."""
