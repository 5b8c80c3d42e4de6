"""What users would otherwise choose, set up and measured on this machine beside Hodei: `python -m
bench.peers`."""
