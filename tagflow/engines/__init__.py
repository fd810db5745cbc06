"""What drives the stages over the batches."""
