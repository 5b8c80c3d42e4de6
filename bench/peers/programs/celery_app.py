"""Celery has no call for many jobs at once; what it advises is one producer, and so one connection,
for all of them."""

import time

import handler
from celery import Celery

app = Celery("bench", broker=handler.URL)
app.conf.broker_connection_retry_on_startup = True
app.conf.update(handler.OPTIONS)


@app.task(name="job")
def job(kind, number):
    handler.run(kind, number)


def enqueue(kind, jobs):
    if handler.URL.startswith("amqp"):  # who emptied Redis did so from outside
        with app.connection() as connection:
            connection.default_channel.queue_delete("celery")
    begun = time.monotonic()
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(jobs):
            job.apply_async((kind, number), producer=producer)
    return time.monotonic() - begun
