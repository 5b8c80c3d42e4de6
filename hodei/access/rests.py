"""Rests after work that holds the event loop for long, as parsing a request of a million parts."""

import time

LONG_S = 0.015
"""Seconds of a stretch of work after which there is a rest."""

TIMES = 3.0
"""How many times as long as the work its rest is: a short call has ten turns of the event loop, and
without rests it would wait for a stretch of somebody's at each of them."""


def rest_s(begun: float) -> float:
    """Seconds to rest after work that began then, by time.perf_counter(): where the processor is
    shared, all others waited as long. 0: it was short."""
    took_s = time.perf_counter() - begun
    return TIMES * took_s if took_s > LONG_S else 0.0
