"""tagflow: from a folder of captions to certified captions and an audit."""

__version__ = "0.1.0"
