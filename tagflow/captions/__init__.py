"""Captions as text: the grammar of tags, sentences among them, and tidying."""
