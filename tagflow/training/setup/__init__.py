"""Setup: a run as it would reach the trainer, read from a run folder, a TOML file or a command line."""
