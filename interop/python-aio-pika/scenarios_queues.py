"""The scenarios of ../README.md about what queues and exchanges do by themselves, and about permissions."""

import asyncio
import os
import time

from aio_pika import exceptions
from harness import *


async def send_with(channel, queue, body, **properties):
    await channel.default_exchange.publish(message(body, **properties), queue.name)


async def dead_letters(run, channel):
    """A fanout exchange for dead letters, and a consumer of all of them."""
    exchange = await channel.declare_exchange(run.exchange("dlx"), "fanout", durable=True)
    dead = await run.declared(channel, "dead")
    await dead.bind(exchange)
    return {"x-dead-letter-exchange": exchange.name}, await Inbox.on(dead, no_ack=True)


async def deaths(inbox, count):
    """Reason and body of the next dead letters."""
    return [(got.headers["x-death"][0]["reason"], got.body) for got in await inbox.take(count)]


async def dead_letter(run):
    channel = await run.channel()
    dlx, inbox = await dead_letters(run, channel)
    expiring = await run.declared(channel, "expiring", arguments={**dlx, "x-message-ttl": 100})
    rejecting = await run.declared(channel, "rejecting", arguments=dlx)
    source = await Inbox.on(rejecting)
    for queue, reason in ((expiring, "expired"), (rejecting, "rejected")):
        await channel.default_exchange.publish(persistent(b"dead"), queue.name)
        if reason == "rejected":
            await (await source.take(1))[0].reject(requeue=False)
        got = (await inbox.take(1))[0]
        equal((got.body, got.exchange, got.routing_key), (b"dead", dlx["x-dead-letter-exchange"], queue.name))
        death = got.headers["x-death"][0]
        equal({key: death[key] for key in ("queue", "reason", "count", "exchange", "routing-keys")},
              {"queue": queue.name, "reason": reason, "count": 1, "exchange": "", "routing-keys": [queue.name]})
        equal((got.headers["x-first-death-queue"], got.headers["x-first-death-reason"]), (queue.name, reason))


async def ttl(run):
    connection = await run.connect()
    channel = await connection.channel()
    expiring = await run.declared(channel, "expiring", arguments={"x-message-ttl": 300})
    plain = await run.declared(channel)
    await send_with(channel, expiring, b"of the queue")
    await send_with(channel, expiring, b"its own", expiration=60)
    await send_with(channel, plain, b"short", expiration=0.1)
    await send_with(channel, plain, b"none")
    await await_count(channel, expiring, 0)
    await await_count(channel, plain, 1)
    equal(await drain(plain), [b"none"])
    # The library drops an expiration of 0, so 1 ms stands for it.
    await send_with(channel, plain, b"now", expiration=0.001)
    await await_count(channel, plain, 0)
    unused = await run.declared(channel, "unused", arguments={"x-expires": 300})
    await asyncio.sleep(1)
    await channel_error(connection, 404, lambda ch: ch.declare_queue(unused.name, passive=True))


async def priorities(run):
    channel = await run.channel()
    queue = await run.declared(channel, arguments={"x-max-priority": 5})
    for body, priority in zip(numbered(0, 5), (None, 1, 5, 3, 5, 200)):
        await send_with(channel, queue, body, priority=priority)
    await await_count(channel, queue, 6)
    equal(await drain(queue), [b"m2", b"m4", b"m5", b"m3", b"m1", b"m0"])
    plain = await run.declared(channel, "consumers")
    await channel.set_qos(prefetch_count=2)
    low, high = await Inbox.on(plain), await Inbox.on(plain, arguments={"x-priority": 10})
    await send(channel, plain, *numbered(0, 4))
    equal((await high.bodies(2), await low.bodies(2)), (numbered(0, 1), numbered(2, 3)))
    equal(await count(channel, plain), 1)


async def rpc(run):
    client, connection = await run.channel(), await run.connect()
    server = await connection.channel()
    queue = await run.declared(server)
    replies = await Inbox.on(await client.get_queue("amq.rabbitmq.reply-to"), no_ack=True)
    requests = await Inbox.on(queue, no_ack=True)
    await send_with(client, queue, b"ask", reply_to="amq.rabbitmq.reply-to", correlation_id="7")
    asked = (await requests.take(1))[0]
    assert asked.reply_to.startswith("amq.rabbitmq.reply-to."), asked.reply_to
    answer = message(asked.body + b"ed", correlation_id=asked.correlation_id)
    await server.default_exchange.publish(answer, asked.reply_to)
    answered = (await replies.take(1))[0]
    equal((answered.body, answered.correlation_id), (b"asked", "7"))
    # No probe: the library refuses names with a "=", as RabbitMQ's are.
    await channel_error(connection, 406, lambda ch: send_with(ch, queue, b"ask", reply_to="amq.rabbitmq.reply-to"))


async def sac(run):
    connection = await run.connect()
    channel = await connection.channel()
    queue = await run.declared(channel, arguments={"x-single-active-consumer": True})
    first, second = await Inbox.on(queue, no_ack=True), await Inbox.on(queue, no_ack=True)
    await send(channel, queue, *numbered(0, 3))
    equal((await first.bodies(4), second.got), (numbered(0, 3), []))
    await queue.cancel(first.tag)
    await send(channel, queue, b"m4")
    equal(await second.bodies(1), [b"m4"])

    async def consume_alone(ch):
        await Inbox.on(await ch.get_queue(queue.name, ensure=False), exclusive=True)

    await channel_error(connection, 403, consume_alone)


async def quorum(run):
    connection = await run.connect()
    channel = await connection.channel()
    dlx, dead = await dead_letters(run, channel)
    quorum_type = {"x-queue-type": "quorum"}
    queue = await run.declared(channel, arguments={**dlx, **quorum_type, "x-delivery-limit": 2})
    await send(channel, queue, b"poison")
    inbox = await Inbox.on(queue)
    for returns in (None, 1, 2):
        got = (await inbox.take(1))[0]
        equal((got.body, got.redelivered, got.headers.get("x-delivery-count")),
              (b"poison", returns is not None, returns))
        await got.reject(requeue=True)
    equal(await deaths(dead, 1), [("delivery_limit", b"poison")])
    await await_count(channel, queue, 0)
    await channel_error(connection, 406, lambda ch: ch.declare_queue(queue.name, durable=True))
    other = queue.name + ".other"
    for options in ({"durable": False}, {"durable": True, "exclusive": True}, {"durable": True, "auto_delete": True}):
        await channel_error(connection, 406, lambda ch: ch.declare_queue(other, arguments=quorum_type, **options))


async def limits(run):
    channel = await run.channel()
    dlx, dead = await dead_letters(run, channel)
    dropping = await run.declared(channel, "dropping", arguments={**dlx, "x-max-length": 2})
    await send(channel, dropping, *numbered(0, 3))
    equal(await deaths(dead, 2), [("maxlen", b"m0"), ("maxlen", b"m1")])
    equal(await drain(dropping), numbered(2, 3))
    small = await run.declared(channel, "small", arguments={"x-max-length-bytes": 10})
    await send(channel, small, b"1234", b"5678", b"9abc")
    equal(await drain(small), [b"5678", b"9abc"])
    for overflow in ("reject-publish", "reject-publish-dlx"):
        full = await run.declared(channel, overflow, arguments={**dlx, "x-max-length": 1, "x-overflow": overflow})
        await send(channel, full, b"m0")
        try:
            await send(channel, full, b"m1")
        except exceptions.DeliveryError:
            pass
        else:
            raise AssertionError(f"{overflow}: confirmed")
        equal(await drain(full), [b"m0"])
    equal(await deaths(dead, 1), [("maxlen", b"m1")])


async def consumer_timeout(run):
    connection = await run.connect()
    channel, holder = await connection.channel(), await connection.channel()
    queue = await run.declared(channel, arguments={"x-consumer-timeout": 300})
    inbox, reasons = await Inbox.on(await holder.get_queue(queue.name)), []
    holder.close_callbacks.add(lambda _channel, reason: reasons.append(type(reason)))
    await send(channel, queue, b"held")
    await inbox.take(1)
    await wait(lambda: reasons)
    equal((reasons, connection.is_closed), ([CODES[406]], False))
    got = (await (await Inbox.on(queue, no_ack=True)).take(1))[0]
    equal((got.body, got.redelivered), (b"held", True))


async def delayed(run):
    channel = await run.channel()
    arguments = {"x-delayed-type": "direct"}
    exchange = await channel.declare_exchange(run.exchange("x"), "x-delayed-message", durable=True, arguments=arguments)
    queue = await run.declared(channel)
    await queue.bind(exchange, "k")
    inbox, sent = await Inbox.on(queue, no_ack=True), time.monotonic()
    for body, headers in ((b"last", {"x-delay": 600}), (b"second", {"x-delay": 200}), (b"first", {})):
        await exchange.publish(message(body, headers=headers, delivery_mode=2), "k", mandatory=False)
    equal(await inbox.bodies(3), [b"first", b"second", b"last"])
    assert time.monotonic() - sent >= 0.6, "the last came too early"


async def deduplication(run):
    channel = await run.channel()
    exchange = await channel.declare_exchange(
        run.exchange("x"), "x-message-deduplication", durable=True, arguments={"x-cache-size": 100})
    behind = await run.declared(channel, "behind")
    await behind.bind(exchange)
    once = await run.declared(channel, "once", arguments={"x-message-deduplication": True})

    async def publish(target, queue, identity, body):
        headers = {"x-deduplication-header": identity} if identity else {}
        await target.publish(message(body, headers=headers, delivery_mode=2), queue.name)

    for target, queue in ((exchange, behind), (channel.default_exchange, once)):
        for identity, body in (("a", b"m0"), ("b", b"m1"), ("a", b"again"), (None, b"m2"), (None, b"m3")):
            await publish(target, queue, identity, body)
        equal(await drain(queue), numbered(0, 3))
        await publish(target, queue, "a", b"again")
        equal(await drain(queue), [])


async def consistent_hash(run):
    connection = await run.connect()
    channel = await connection.channel()
    exchange = await channel.declare_exchange(run.exchange("x"), "x-consistent-hash", durable=True)
    queues = [await run.declared(channel, name) for name in ("light", "heavy")]
    for queue, weight in zip(queues, ("1", "3")):
        await queue.bind(exchange, weight)
    keys = numbered(0, 199)
    for key in keys * 2:
        await exchange.publish(message(key), key.decode())
    light, heavy = [await drain(queue) for queue in queues]
    equal(sorted(light + heavy), sorted(keys * 2))
    for got in (light, heavy):
        equal(got[:len(got) // 2], got[len(got) // 2:])
    assert 0 < len(light) < len(heavy), (len(light), len(heavy))

    async def bind(ch):
        await (await ch.get_queue(queues[0].name, ensure=False)).bind(exchange.name, "heavy")

    await channel_error(connection, 406, bind)


async def permissions(run):
    restricted = os.environ.get("RESTRICTED_URL")
    if not restricted:
        raise Skip("RESTRICTED_URL is not set")
    restricted = URL(restricted, encoded=True)
    channel = await run.channel()
    other = await run.declared(channel, "other")
    exchange = await channel.declare_exchange(run.exchange("x"), "fanout", durable=True)
    limited = await run.connect(restricted)
    own_channel = await limited.channel()
    own = await run.declared(own_channel, "own")
    await send(own_channel, own, b"mine")
    equal(await (await Inbox.on(own, no_ack=True)).bodies(1), [b"mine"])

    async def queue_of(ch, queue):
        return await ch.get_queue(queue.name, ensure=False)

    async def publish(ch):
        await (await ch.get_exchange(exchange.name, ensure=False)).publish(message(b"x"), "", mandatory=False)

    async def bind(ch, queue):
        await (await queue_of(ch, queue)).bind(exchange.name)

    async def get(ch):
        await (await queue_of(ch, other)).get()

    async def consume(ch):
        await Inbox.on(await queue_of(ch, other))

    async def purge(ch):
        await (await queue_of(ch, other)).purge()

    for action in (
        lambda ch: ch.declare_queue(other.name + ".new"),
        lambda ch: ch.queue_delete(other.name),
        lambda ch: ch.declare_exchange(exchange.name + ".new", "fanout"),
        publish,
        lambda ch: bind(ch, own),
        lambda ch: bind(ch, other),
        get,
        consume,
        purge,
    ):
        await channel_error(limited, 403, action)
    try:
        await run.connect(restricted.with_path("/interop-closed"))
    except exceptions.AMQPError as error:
        assert "Connection.Close" in str(error), error  # the library does not show the code
    else:
        raise AssertionError("connected to a virtual host without permissions")
