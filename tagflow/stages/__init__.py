"""The stages: pure steps, each a table in and the same rows with more columns out."""
