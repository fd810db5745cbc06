"""The rules of `train check`: what would stop or spoil a run of sd-scripts."""
