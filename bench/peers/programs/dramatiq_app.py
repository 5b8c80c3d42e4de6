"""Dramatiq sends one message at a time."""

import time

import dramatiq
import handler
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=handler.URL))


@dramatiq.actor
def job(kind, number):
    handler.run(kind, number)


def enqueue(kind, jobs):
    begun = time.monotonic()
    for number in range(jobs):
        job.send(kind, number)
    return time.monotonic() - begun
