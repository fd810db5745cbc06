"""From a certified dataset to a running sd-scripts: plan, check, start, monitor."""
