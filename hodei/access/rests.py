"""Rests after work that holds the event loop for long, as parsing a request of a million parts."""

import time

LONG_S = 0.015
"""Seconds of a stretch of work after which there is a rest."""

TIMES = 3.0
"""How many times as long as the work its rest is: a short call has ten turns of the event loop, and
without rests it would wait for a stretch of somebody's at each of them."""


def rest_s(begun: float) -> float:
    """Seconds to rest after work that began then, by time.thread_time(): while others had the
    processor the loop was held by nobody's request. 0: it was short."""
    took_s = time.thread_time() - begun
    return TIMES * took_s if took_s > LONG_S else 0.0
