"""Monitor: what a running training writes, judged."""
