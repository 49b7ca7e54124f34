"""Runs scenarios one by one: connections, names, clean-up, time limit, one line of result each."""

import asyncio
import logging
import os
import subprocess
import sys
import time
import traceback

import aio_pika
from aio_pika import exceptions
from aiormq import exceptions as lower
from yarl import URL

AMQP_URL = URL(os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F"), encoded=True)
RESTART = os.environ.get("RESTART_BROKER")
TIMEOUT = 20
PREFIX = f"interop.aio-pika.{os.getpid()}.{int(time.time() * 1000)}"
CODES = {403: lower.ChannelAccessRefused, 404: lower.ChannelNotFoundEntity,
         405: lower.ChannelLockedResource, 406: lower.ChannelPreconditionFailed}


class Skip(Exception):
    """The library or the setting cannot run this scenario."""


class Run:
    """One scenario's connections and names; everything is closed and deleted afterwards."""

    def __init__(self, scenario):
        self.prefix = f"{PREFIX}.{scenario}"
        self.connections, self.queues, self.exchanges = [], [], []

    async def connect(self, url=AMQP_URL, connect=aio_pika.connect, **settings):
        connection = await connect(url, **settings)
        self.connections.append(connection)
        return connection

    async def channel(self, **options):
        return await (await self.connect()).channel(**options)

    def queue(self, name):
        self.queues.append(f"{self.prefix}.{name}")
        return self.queues[-1]

    def exchange(self, name):
        self.exchanges.append(f"{self.prefix}.{name}")
        return self.exchanges[-1]

    async def declared(self, channel, name="q", **options):
        return await channel.declare_queue(self.queue(name), **{"durable": True, **options})

    async def clean(self):
        for connection in self.connections:
            await connection.close()
        async with await aio_pika.connect(AMQP_URL) as connection:
            for queue in self.queues:
                await (await connection.channel()).queue_delete(queue)
            for exchange in self.exchanges:
                await (await connection.channel()).exchange_delete(exchange)


class Inbox:
    """A consumer that collects its deliveries."""

    def __init__(self, queue):
        self.queue, self.got, self.taken, self.cancelled = queue, [], 0, False

    @classmethod
    async def on(cls, queue, **options):
        inbox = cls(queue)
        lower_channel = await queue.channel.get_underlay_channel()
        lower_channel.on_consumer_cancel_callbacks.add(inbox.on_cancel)
        inbox.tag = await queue.consume(inbox.on_message, **options)
        return inbox

    async def on_message(self, message):
        self.got.append(message)

    def on_cancel(self, _frame):
        self.cancelled = True

    async def take(self, count):
        """The next `count` deliveries."""
        await wait(lambda: len(self.got) >= self.taken + count)
        self.taken += count
        return self.got[self.taken - count:self.taken]

    async def bodies(self, count):
        return [message.body for message in await self.take(count)]


async def wait(done, seconds=8):
    deadline = time.monotonic() + seconds
    while not (result := done()):
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain")
        await asyncio.sleep(0.01)
    return result


def equal(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def message(body, **properties):
    return aio_pika.Message(body, **properties)


def persistent(body):
    return message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)


async def send(channel, queue, *bodies):
    """Publishes through the default exchange; each publish waits for its confirm."""
    for body in bodies:
        await channel.default_exchange.publish(message(body), queue.name)


async def count(channel, queue):
    return (await channel.declare_queue(queue.name, passive=True)).declaration_result.message_count


async def await_count(channel, queue, wanted):
    deadline = time.monotonic() + 8
    while await count(channel, queue) != wanted:
        assert time.monotonic() < deadline, f"never {wanted} messages"
        await asyncio.sleep(0.01)


def numbered(first, last):
    return [f"m{i}".encode() for i in range(first, last + 1)]


async def drain(queue):
    bodies = []
    while (got := await queue.get(no_ack=True, fail=False)) is not None:
        bodies.append(got.body)
    return bodies


async def channel_error(connection, code, action):
    """`action` closes its channel with `code`, and only that channel."""
    channel = await connection.channel()
    try:
        await action(channel)
    except CODES[code]:
        pass
    else:
        raise AssertionError(f"no channel error {code}")
    await wait(lambda: channel.is_closed)
    equal(connection.is_closed, False)
    await (await connection.channel()).close()


async def connection_error(run, code, action):
    connection = await run.connect()
    reasons = []
    connection.close_callbacks.add(lambda _connection, reason: reasons.append(reason))
    try:
        await action(await connection.channel())
    except (exceptions.AMQPError, exceptions.ChannelInvalidStateError, asyncio.CancelledError):
        pass  # how the call ends is the library's choice; the connection's reason is asserted
    await wait(lambda: reasons)
    assert str(code) in str(reasons[0]) or type(reasons[0]).__name__ == CONNECTION_CODES[code], reasons


CONNECTION_CODES = {540: "ConnectionNotImplemented"}


def needs_restart():
    if not RESTART:
        raise Skip("RESTART_BROKER is not set")


async def restart_broker():
    await asyncio.to_thread(
        subprocess.run, RESTART, shell=True, check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)


async def run_scenario(scenarios, scenario):
    run = Run(scenario)
    try:
        await asyncio.wait_for(scenarios[scenario](run), TIMEOUT)
        result = "ok"
    except Skip as reason:
        result = f"skip {reason}"
    except BaseException as error:
        result = f"FAIL {where(error)}: {error!r}"
    try:
        await asyncio.wait_for(run.clean(), TIMEOUT)
    except BaseException as error:
        if result == "ok":
            result = f"FAIL cleaning up: {error!r}"
    return " ".join(result.split())[:300]


def where(error):
    steps = [step for step in traceback.extract_tb(error.__traceback__) if "/scenarios" in step.filename]
    return f"{os.path.basename(steps[-1].filename)} line {steps[-1].lineno}" if steps else "line ?"


async def run_all(scenarios):
    failed = False
    for scenario in sys.argv[1:] or scenarios:
        result = await run_scenario(scenarios, scenario)
        failed |= result.startswith("FAIL")
        print(scenario, result, flush=True)
    os._exit(1 if failed else 0)  # a task left by a timed-out scenario must not hold the exit


def main(scenarios):
    logging.disable(logging.CRITICAL)
    asyncio.run(run_all(scenarios))
