"""Where captions come from and go back to."""
