"""Writes as many numbered lines as its argument says: a job with a long log."""

import sys

count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
write = sys.stdout.write
for number in range(1, count + 1):
    write(f"{number:06d} the quick brown fox jumps over the lazy dog\n")
