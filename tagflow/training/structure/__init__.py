"""Structure: captions rendered so that they survive the trainer's shuffle, and the proof of that."""
