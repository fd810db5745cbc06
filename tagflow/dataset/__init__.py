"""A dataset as it lies on disk: its images, captions, folders and the trainer's caches."""
