"""Migrate: an SD 1.5 configuration turned into one for SDXL."""
