"""What is known of a trainer's Python and of its machine, asked by small programs that run in it."""
