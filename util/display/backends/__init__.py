"""Where training shows itself: one small file for each place."""
