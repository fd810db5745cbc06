"""Captions as text: tags (grammar, split), sentences among them (sentences), tidying (clean)."""
