"""Checks of a dataset: pure functions over the batch of captions and over the names in the folder."""
