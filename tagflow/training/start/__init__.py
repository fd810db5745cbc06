"""Start: from the gate before the trainer to the record of how it ended."""
