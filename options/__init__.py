"""What a person can ask for: flags, files of flags, and the checks before anything is built."""
