"""Start: the gate before the trainer, the attempt, its record and its outcome."""
