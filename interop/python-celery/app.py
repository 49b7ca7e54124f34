"""A Celery application: its workers run `celery -A app worker`. NAME is the run's own prefix, FOLDER a place for files."""

import os
import time
from pathlib import Path

from celery import Celery

NAME = os.environ["NAME"]
FOLDER = Path(os.environ["FOLDER"])

app = Celery("interop", broker=os.environ["AMQP_URL"], backend=os.environ["RESULTS"])
app.conf.update(
    task_default_queue=NAME, task_default_exchange=NAME, task_default_routing_key=NAME, broker_connection_timeout=5,
    broker_connection_retry_on_startup=True, result_expires=60, worker_prefetch_multiplier=2)


@app.task
def add(one, other):
    return one + other


@app.task(bind=True, max_retries=3)
def flaky(self, value):
    """Works at the third attempt; each is a second later than the one before."""
    if self.request.retries < 2:
        raise self.retry(countdown=1)
    return [value, self.request.retries]


@app.task
def label(pair, text):
    return [*pair, text]


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, acks_late=True)
def killed(self):
    """The first worker that runs this is killed while it does."""
    redelivered = self.request.delivery_info["redelivered"]
    if not redelivered:
        (FOLDER / "running").write_text(str(os.getpid()))
        time.sleep(60)
    return redelivered


@app.task
def moment():
    return time.time()
