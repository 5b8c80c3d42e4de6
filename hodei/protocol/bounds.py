"""Bounds of what servers and workers send each other on their stream. Both sides keep them: they
send nothing beyond them, and whoever gets something beyond them ends that stream."""

import re

MOST_NUMBER = 1 << 62
"""Any lease, count, size or number: half of what a bigint holds, so that the sum of two is one."""

LONGEST_SPEC = 600_000
"""Most characters of a spec that a worker is sent: twice as many as an API takes, so that a frame
stays under 4 MiB. A longer one was written by hand: its job is set aside."""

LONGEST_TEXT = 2_000
"""Most characters of any other text of a message: ids, actors, and words for people. APIs take 200
of an id; what a hand has written into a row may be longer, and is cut."""

MOST_AHEAD = 512
"""Offers beyond the slots of one worker: at 2,000 jobs a second as many as it runs while results
are recorded and further jobs are claimed."""

MOST_HELD = 50_000
"""Leases that a hello, its welcome or a heartbeat lists: five times the most slots, as offers that
wait for a slot may be twice as many as those."""

MOST_CAPABILITIES = 100
CAPABILITY = re.compile("[A-Za-z0-9._=/-]{1,100}")

SHA256_BYTES = 32
