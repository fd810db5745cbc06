"""From a certified dataset to a running sd-scripts: plan, check, start, monitor.

sd-scripts' own names live here and nowhere else.
"""
