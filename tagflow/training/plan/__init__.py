"""Plan: a dataset, a base and a preset turned into every option of a run, each with its reason."""
