"""The audit: the last batch of a run written down as parquet, and what changed since it."""
