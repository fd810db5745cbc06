"""The verdict: the only place where a run is certified, failed, or left uncertified."""
