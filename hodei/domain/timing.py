"""The terms by which servers, workers and PostgreSQL judge each other's silence, in seconds.

All of them are counted by the database's clock."""

HEARTBEAT_S = 10.0
"""Time between two heartbeats of a worker, and between two beats of a server on each stream."""

UNREACHABLE_AFTER_S = 30.0
"""Silence of three missed heartbeats: the worker becomes UNREACHABLE and its jobs stay RUNNING. It
is counted from the later of its last heartbeat and `listening_since`."""

LOST_AFTER_S = 60.0
"""Silence after which a worker is TERMINATED and its jobs run again or fail. Servers tell it to
workers when they connect."""

ACCEPT_WITHIN_S = 10.0
"""Time within which a slot must accept an offer. Then the offer returns to the queue, unless the
worker's heartbeat lists it as waiting while all slots are taken (LONGEST_OFFER_S)."""

LONGEST_OFFER_S = 30.0
"""Time for which an offer is renewed while its worker lists it as waiting behind others. Then it
returns: a worker asks for no more than its slots will take."""

LIMIT_MARGIN_S = 30.0
"""Time that a worker has, beyond a limit of a job (and its grace), to enforce that limit. Then the
servers' sweep ends the attempt."""

GRACE_S = 10.0
"""Time between TERM and KILL for a job whose spec has no `grace`."""

LISTENING_GAP_S = 15.0
"""Time without a beat of any server into hodei_listening after which nobody is taken to have
listened: silence then counts anew, and no sweep judges it until a server beats again."""

KNOWN_WITHIN_S = 15.0
"""Time after its accept within which a worker's heartbeat must list a lease. A lease that it does
not list then is taken to be unknown to it."""

LONE_WITHIN_S = 5.0
"""Time within which a second loss of the same worker shows that the first was not a lone one."""
