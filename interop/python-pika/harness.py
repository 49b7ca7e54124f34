"""Runs scenarios one by one: connections, names, clean-up, time limit, one line of result each."""

import os
import subprocess
import sys
import threading
import time
import traceback

import pika
from pika import exceptions

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
RESTART = os.environ.get("RESTART_BROKER")
TIMEOUT = 20
PREFIX = f"interop.pika.{os.getpid()}.{int(time.time() * 1000)}"
PERSISTENT = pika.BasicProperties(delivery_mode=2)


class Skip(Exception):
    """The library or the setting cannot run this scenario."""


class Run:
    """One scenario's connections and names; everything is closed and deleted afterwards."""

    def __init__(self, scenario):
        self.prefix = f"{PREFIX}.{scenario}"
        self.connections, self.queues, self.exchanges = [], [], []

    def connect(self, **settings):
        params = pika.URLParameters(URL)
        for key, value in settings.items():
            setattr(params, key, value)
        connection = pika.BlockingConnection(params)
        self.connections.append(connection)
        return connection

    def channel(self):
        return self.connect().channel()

    def queue(self, name):
        self.queues.append(f"{self.prefix}.{name}")
        return self.queues[-1]

    def exchange(self, name):
        self.exchanges.append(f"{self.prefix}.{name}")
        return self.exchanges[-1]

    def declared(self, channel, name="q", **options):
        queue = self.queue(name)
        channel.queue_declare(queue, **{"durable": True, **options})
        return queue

    def clean(self):
        for connection in self.connections:
            try:
                connection.close()
            except Exception:  # already closed by the broker, or in use by a timed-out scenario
                pass
        with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
            for queue in self.queues:
                connection.channel().queue_delete(queue)
            for exchange in self.exchanges:
                connection.channel().exchange_delete(exchange)


class Inbox:
    """A consumer that collects its deliveries."""

    def __init__(self, channel, queue, **options):
        self.channel, self.got, self.taken, self.cancelled = channel, [], 0, False
        channel.add_on_cancel_callback(self.on_cancel)
        self.tag = channel.basic_consume(queue, self.on_message, **options)

    def on_message(self, _channel, method, properties, body):
        self.got.append((method, properties, body))

    def on_cancel(self, _frame):
        self.cancelled = True

    def take(self, count):
        """The next `count` deliveries."""
        wait(self.channel.connection, lambda: len(self.got) >= self.taken + count)
        self.taken += count
        return self.got[self.taken - count:self.taken]

    def bodies(self, count):
        return [body for _, _, body in self.take(count)]


def wait(connection, done, seconds=8):
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain")
        connection.process_data_events(time_limit=0.05)


def equal(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def count(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def await_count(channel, queue, wanted):
    wait(channel.connection, lambda: count(channel, queue) == wanted)


def publish(channel, queue, bodies, properties=None):
    for body in bodies:
        channel.basic_publish("", queue, body, properties)
    await_count(channel, queue, len(bodies))


def numbered(first, last):
    return [f"m{i}".encode() for i in range(first, last + 1)]


def drain(channel, queue):
    bodies = []
    while (message := channel.basic_get(queue, auto_ack=True))[0]:
        bodies.append(message[2])
    return bodies


def channel_error(connection, code, action):
    """`action` closes its channel with `code`, and only that channel."""
    channel = connection.channel()
    try:
        action(channel)
    except exceptions.ChannelClosedByBroker as error:
        equal(error.reply_code, code)
    else:
        raise AssertionError(f"no channel error {code}")
    equal((channel.is_open, connection.is_open), (False, True))
    connection.channel().close()


def connection_error(run, code, action):
    connection = run.connect()
    try:
        action(connection.channel())
        connection.process_data_events(time_limit=8)
    except exceptions.ConnectionClosedByBroker as error:
        equal(error.reply_code, code)
    else:
        raise AssertionError(f"no connection error {code}")


def needs_restart():
    if not RESTART:
        raise Skip("RESTART_BROKER is not set")


def restart_broker():
    subprocess.run(RESTART, shell=True, check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)


def within_timeout(action):
    """What happened to `action`: None when it returned, else the exception it raised."""
    outcome = [TimeoutError(f"not done after {TIMEOUT} s")]

    def body():
        try:
            action()
            outcome[0] = None
        except BaseException as error:
            outcome[0] = error

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    return outcome[0]


def run_scenario(scenarios, scenario):
    run = Run(scenario)
    error = within_timeout(lambda: scenarios[scenario](run))
    left = within_timeout(run.clean)
    if error is None:
        return f"FAIL cleaning up: {left!r}" if left else "ok"
    if isinstance(error, Skip):
        return f"skip {error}"
    return " ".join(f"FAIL {where(error)}: {error!r}".split())[:300]


def where(error):
    steps = [step for step in traceback.extract_tb(error.__traceback__) if "/scenarios" in step.filename]
    return f"{os.path.basename(steps[-1].filename)} line {steps[-1].lineno}" if steps else "line ?"


def main(scenarios):
    failed = False
    for scenario in sys.argv[1:] or scenarios:
        result = run_scenario(scenarios, scenario)
        failed |= result.startswith("FAIL")
        print(scenario, result, flush=True)
    os._exit(1 if failed else 0)  # a timed-out scenario's thread must not hold the exit
