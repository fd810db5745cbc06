"""The runs of a dataset: kept originals, run records, undo, recovery after a crash, giving originals up."""
