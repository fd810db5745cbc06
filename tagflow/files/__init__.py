"""Untrusted bytes in, durable bytes out: capped reading, safetensors headers, parquet, replacing, locks."""
