"""The scenarios of ../README.md with aio-pika."""

import asyncio
from datetime import datetime, timezone
from decimal import Decimal

import aio_pika
import scenarios_queues as queues
from aio_pika import exceptions
from harness import *


async def ignore(_message):
    """A consumer for queues that must refuse it."""


async def hello(run):
    channel = await run.channel()
    queue = await run.declared(channel)
    await send(channel, queue, b"hello")
    inbox = await Inbox.on(queue)
    got = (await inbox.take(1))[0]
    equal((got.body, got.exchange, got.routing_key, got.redelivered), (b"hello", "", queue.name, False))
    await got.ack()
    await queue.cancel(inbox.tag)
    equal(await count(channel, queue), 0)


async def topology(run):
    channel = await run.channel()
    kinds = ("direct", "fanout", "topic", "headers")
    exchanges = [await channel.declare_exchange(run.exchange(kind), kind, durable=True) for kind in kinds]
    direct, fanout, topic, headers = exchanges
    for exchange in exchanges:
        await channel.declare_exchange(exchange.name, passive=True)
    q = [await run.declared(channel, f"q{i}") for i in range(3)]

    async def routed(exchange, key, wanted, **properties):
        await exchange.publish(message(key.encode(), **properties), key, mandatory=False)
        equal([i for i in range(3) if await drain(q[i]) == [key.encode()]], wanted)

    await q[0].bind(direct, "red")
    await q[0].bind(direct, "red")
    await routed(direct, "red", [0])
    await routed(direct, "blue", [])
    await q[0].unbind(direct, "red")
    await q[0].unbind(direct, "red")
    await routed(direct, "red", [])

    await q[0].bind(fanout, "any")
    await q[1].bind(fanout, "")
    await routed(fanout, "other", [0, 1])
    await fanout.bind(direct, "e2e")
    await routed(direct, "e2e", [0, 1])
    await fanout.unbind(direct, "e2e")
    await routed(direct, "e2e", [])

    for queue, pattern in zip(q, ("a.*.c", "a.#", "*")):
        await queue.bind(topic, pattern)
    for key, wanted in TOPIC_ROUTES:
        await routed(topic, key, wanted)

    match_all = {"x-match": "all", "type": "report", "n": 1}
    match_any = {"x-match": "any", "type": "report", "n": 1}
    await q[0].bind(headers, "", arguments=match_all)
    await q[1].bind(headers, "", arguments=match_any)
    for table, wanted in HEADER_ROUTES:
        await routed(headers, "h", wanted, headers=table)
    await q[1].unbind(headers, "", arguments=match_any)
    await routed(headers, "h", [0], headers={"type": "report", "n": 1})

    for exchange in [*exchanges, direct]:
        await channel.exchange_delete(exchange.name)
    await channel_error(await run.connect(), 404, lambda ch: ch.declare_exchange(direct.name, passive=True))


TOPIC_ROUTES = [("a.b.c", [0, 1]), ("a", [1, 2]), ("a.b", [1]), ("b", [2]), ("a..c", [0, 1]), ("b.a.c", [])]
HEADER_ROUTES = [({"type": "report", "n": 1}, [0, 1]), ({"type": "report"}, [1]), ({"type": "report", "n": 2}, [1]),
                 ({"type": "other"}, []), (None, [])]


async def declare(run):
    connection = await run.connect()
    channel = await connection.channel()
    queue = await run.declared(channel)
    await channel.declare_queue(queue.name, durable=True)
    await send(channel, queue, *numbered(0, 2))
    holder = await connection.channel()
    await (await Inbox.on(await holder.get_queue(queue.name))).take(3)
    result = (await channel.declare_queue(queue.name, passive=True)).declaration_result
    equal((result.queue, result.message_count, result.consumer_count), (queue.name, 0, 1))
    await channel_error(connection, 406, lambda ch: ch.queue_delete(queue.name, if_unused=True))
    await holder.close()
    await await_count(channel, queue, 3)
    await channel_error(connection, 406, lambda ch: ch.queue_delete(queue.name, if_empty=True))
    equal((await queue.purge()).message_count, 3)
    equal((await queue.delete(if_unused=True, if_empty=True)).message_count, 0)
    equal((await channel.queue_delete(queue.name)).message_count, 0)
    named = await channel.declare_queue("", exclusive=True)
    assert named.name.startswith("amq.gen-"), named.name
    exchange = await channel.declare_exchange(run.exchange("x"), "fanout", durable=True)
    await named.bind(exchange)
    await channel_error(connection, 406, lambda ch: ch.exchange_delete(exchange.name, if_unused=True))
    await named.unbind(exchange)
    await exchange.delete(if_unused=True)


async def confirms(run):
    channel = await run.channel()
    queue = await run.declared(channel)
    publish = channel.default_exchange.publish
    bodies = numbered(0, 1099)
    for first in range(0, 1000, 100):
        confirmed = await asyncio.gather(*(publish(persistent(b), queue.name) for b in bodies[first:first + 100]))
        equal({type(frame).__name__ for frame in confirmed}, {"Ack"})
    for body in bodies[1000:]:
        await publish(persistent(body), queue.name)
    equal(await count(channel, queue), 1100)
    equal(await (await Inbox.on(queue, no_ack=True)).bodies(1100), bodies)


async def returns(run):
    channel = await run.channel(on_return_raises=True)
    queue = await run.declared(channel)
    nowhere, exchange = queue.name + ".none", channel.default_exchange
    try:
        await exchange.publish(message(b"lost"), nowhere, mandatory=True)
    except exceptions.PublishError as error:
        returned = error.message
        equal((returned.delivery.reply_code, returned.delivery.reply_text), (312, "NO_ROUTE"))
        equal((returned.delivery.exchange, returned.delivery.routing_key, returned.body), ("", nowhere, b"lost"))
    else:
        raise AssertionError("not returned")
    await exchange.publish(message(b"kept"), queue.name, mandatory=True)
    await exchange.publish(message(b"dropped"), nowhere, mandatory=False)
    equal(await drain(queue), [b"kept"])


async def acks(run):
    connection = await run.connect()
    channel = await connection.channel()
    queue = await run.declared(channel)
    await send(channel, queue, *numbered(0, 9))
    inbox = await Inbox.on(queue)
    got = await inbox.take(10)
    equal([(m.delivery_tag, m.redelivered, m.body) for m in got],
          [(i + 1, False, body) for i, body in enumerate(numbered(0, 9))])
    await queue.cancel(inbox.tag)
    await got[0].ack()
    await got[2].ack(multiple=True)
    await got[3].reject(requeue=False)
    await got[6].nack(multiple=True, requeue=True)
    await await_count(channel, queue, 3)
    await got[7].reject(requeue=True)
    await got[8].nack(multiple=False, requeue=True)
    await await_count(channel, queue, 5)
    await channel.close()
    channel = await connection.channel()
    again = await (await Inbox.on(await channel.get_queue(queue.name))).take(6)
    equal([(m.redelivered, m.body) for m in again], [(True, body) for body in numbered(4, 9)])
    await again[5].ack(multiple=True)
    await channel.close()
    equal(await count(await connection.channel(), queue), 0)


async def prefetch(run):
    connection = await run.connect()
    for name, limit, shared, outstanding in (("each", 3, False, 6), ("all", 4, True, 4)):
        channel = await connection.channel()
        queue = await run.declared(channel, name)
        await send(channel, queue, *numbered(0, 9))
        await channel.set_qos(prefetch_count=limit, global_=shared)
        inboxes = [await Inbox.on(queue), await Inbox.on(queue)]
        held = lambda: sum(len(inbox.got) for inbox in inboxes)
        await wait(lambda: held() >= outstanding)
        await asyncio.sleep(0.3)
        equal(held(), outstanding)
        if not shared:
            equal([len(inbox.got) for inbox in inboxes], [3, 3])
        await next(inbox for inbox in inboxes if inbox.got).got[0].ack()
        await wait(lambda: held() >= outstanding + 1)
        await asyncio.sleep(0.2)
        equal(held(), outstanding + 1)
        await channel.close()


async def get(run):
    channel = await run.channel()
    queue = await run.declared(channel)
    await send(channel, queue, *numbered(0, 2))
    got = await queue.get()
    equal((got.body, got.message_count, got.redelivered), (b"m0", 2, False))
    await got.ack()
    got = await queue.get()
    equal((got.body, got.message_count, got.exchange, got.routing_key), (b"m1", 1, "", queue.name))
    await got.nack(requeue=True)
    await await_count(channel, queue, 2)
    got = await queue.get(no_ack=True)
    equal((got.body, got.redelivered), (b"m1", True))
    equal(await drain(queue), [b"m2"])
    equal(await queue.get(fail=False), None)


async def properties(run):
    channel = await run.channel()
    queue = await run.declared(channel)
    full = {
        "content_type": "text/plain", "content_encoding": "utf-8", "headers": {"k": "v"}, "priority": 5,
        "delivery_mode": aio_pika.DeliveryMode.PERSISTENT, "correlation_id": "c-1", "reply_to": "r", "expiration": 60,
        "message_id": "id-1", "timestamp": datetime.fromtimestamp(1700000000, timezone.utc), "type": "kind",
        "user_id": AMQP_URL.user, "app_id": "app"}
    for sent in (full, {"message_id": "id-2"}):
        await channel.default_exchange.publish(message(b"x", **sent), queue.name)
        got = await queue.get(no_ack=True)
        equal({key: getattr(got, key) for key in full}, {**DEFAULTS, **sent})


# What aio-pika sends for properties that are not set (and a random message id).
DEFAULTS = dict.fromkeys((
    "content_type", "content_encoding", "correlation_id", "reply_to", "expiration", "message_id", "timestamp", "type",
    "user_id", "app_id")) | {"headers": {}, "priority": 0, "delivery_mode": aio_pika.DeliveryMode.NOT_PERSISTENT}


async def headers(run):
    channel = await run.channel()
    queue = await run.declared(channel)
    table = {
        "true": True, "false": False, "i8": -7, "i16": -300, "u16": 65535, "i32": -70000, "u32": 2**32 - 1,
        "i64": 2**40, "min": -2**63, "float": 2.5, "decimal": Decimal("3.14"), "string": "text", "unicode": "žluť ☃",
        "empty": "", "bytes": bytearray(b"\x00\xff"), "time": datetime.fromtimestamp(1700000000, timezone.utc),
        "void": None, "ключ": "key", "table": {"a": 1, "b": {"c": "deep", "d": {}}},
        "array": [1, "two", None, [3.5, []], {"four": 4}]}
    await channel.default_exchange.publish(message(b"x", headers=table), queue.name)
    equal((await queue.get(no_ack=True)).headers, table)


async def large(run):
    channel = await run.channel()
    queue = await run.declared(channel)
    inbox = await Inbox.on(queue, no_ack=True)
    pattern = bytes(i * 7 % 251 for i in range(251 * 40))
    for size in (10_000_000, 0, 131063, 131064, 131065, 262128):
        body = (pattern * (size // len(pattern) + 1))[:size]
        await channel.default_exchange.publish(persistent(body), queue.name)
        assert await inbox.bodies(1) == [body], f"body of {size} bytes differs"


async def heartbeat(run):
    url = AMQP_URL.update_query(heartbeat=2)
    idle, consuming = await run.connect(url), await run.connect(url)
    queue = await run.declared(await idle.channel())
    inbox = await Inbox.on(await (await consuming.channel()).get_queue(queue.name), no_ack=True)
    await asyncio.sleep(7)
    await send(await idle.channel(), queue, b"still here")
    equal(await inbox.bodies(1), [b"still here"])


async def channel_errors(run):
    connection, other = await run.connect(), await run.connect()
    channel = await connection.channel()
    queue = await run.declared(channel)
    exchange = await channel.declare_exchange(run.exchange("x"), "direct", durable=True)
    locked = await run.declared(await other.channel(), "locked", durable=False, exclusive=True)
    missing = queue.name + ".missing"

    async def missing_queue(ch):
        return await ch.get_queue(missing, ensure=False)

    async def consume_locked(ch):
        await (await ch.get_queue(locked.name, ensure=False)).consume(ignore)

    async def consume_missing(ch):
        await (await missing_queue(ch)).consume(ignore)

    async def get_missing(ch):
        await (await missing_queue(ch)).get()

    async def bind(ch, source, key):
        await (await ch.get_queue(queue.name)).bind(source, key)

    async def publish_to_missing(ch):
        await (await ch.get_exchange(missing, ensure=False)).publish(message(b"x"), "k")

    async def unknown_tag(ch):
        await (await ch.get_underlay_channel()).basic_ack(99)
        await ch.declare_queue(queue.name, passive=True)

    for code, action in (
        (404, lambda ch: ch.declare_queue(missing, passive=True)),
        (404, lambda ch: ch.declare_exchange(missing, passive=True)),
        (404, consume_missing),
        (404, get_missing),
        (404, lambda ch: bind(ch, missing, "k")),
        (404, publish_to_missing),
        (406, lambda ch: ch.declare_queue(queue.name, durable=True, auto_delete=True)),
        (406, lambda ch: ch.declare_queue(queue.name, durable=True, arguments={"x-max-length": 5})),
        (406, lambda ch: ch.declare_exchange(exchange.name, "fanout", durable=True)),
        (406, unknown_tag),
        (403, lambda ch: ch.declare_queue("amq." + queue.name)),
        (403, lambda ch: ch.declare_exchange("amq." + exchange.name, "direct")),
        (403, lambda ch: bind(ch, "", "k")),
        (405, lambda ch: ch.declare_queue(locked.name, passive=True)),
        (405, consume_locked),
    ):
        await channel_error(connection, code, action)
    equal(await count(channel, queue), 0)


async def connection_errors(run):
    bystander = await run.channel()
    queue = await run.declared(bystander)
    await connection_error(run, 540, lambda ch: ch.set_qos(prefetch_count=1, prefetch_size=10))
    await connection_error(
        run, 540, lambda ch: ch.default_exchange.publish(message(b"x"), queue.name, immediate=True))
    equal(await count(bystander, queue), 0)


async def login(run):
    # The library names the cause of a refused login; of a refused vhost it says only that the broker closed.
    for cause, url in (("Connection.Close", AMQP_URL.with_path("/no-such-vhost")),
                       ("Login was refused", AMQP_URL.with_password("wrong"))):
        try:
            await run.connect(url)
        except exceptions.AMQPError as error:
            assert cause in str(error), error
        else:
            raise AssertionError(f"connected to {url}")
    await run.connect()


async def consumer_cancel(run):
    channel = await run.channel()
    queue = await run.declared(channel)
    inbox = await Inbox.on(queue, no_ack=True)
    await queue.cancel(inbox.tag)
    await send(channel, queue, b"later")
    passive = await channel.declare_queue(queue.name, passive=True)
    equal((passive.declaration_result.consumer_count, inbox.got), (0, []))
    inbox = await Inbox.on(queue, no_ack=True)
    equal(await inbox.bodies(1), [b"later"])
    await (await run.channel()).queue_delete(queue.name)
    await wait(lambda: inbox.cancelled)
    equal(channel.is_closed, False)


async def lifetimes(run):
    connection, owner = await run.connect(), await run.connect()
    channel, owning = await connection.channel(), await owner.channel()

    async def gone(queue):
        try:
            await (await connection.channel()).declare_queue(queue.name, passive=True)
        except exceptions.ChannelNotFoundEntity:
            return True
        except exceptions.ChannelClosed:  # still locked
            return False
        return False

    exclusive = await run.declared(owning, "exclusive", durable=False, exclusive=True)
    await channel_error(connection, 405, lambda ch: ch.declare_queue(exclusive.name, exclusive=True))
    auto = await run.declared(channel, "auto", auto_delete=True)
    await Inbox.on(await owning.get_queue(auto.name))
    second = await Inbox.on(auto)
    await auto.cancel(second.tag)
    equal(await gone(auto), False)
    await owner.close()
    for queue in (exclusive, auto):
        while not await gone(queue):
            await asyncio.sleep(0.02)
    queue = await run.declared(channel)
    exchange = await channel.declare_exchange(run.exchange("auto"), "fanout", auto_delete=True)
    await queue.bind(exchange)
    await channel.declare_exchange(exchange.name, passive=True)
    await queue.unbind(exchange)
    await channel_error(connection, 404, lambda ch: ch.declare_exchange(exchange.name, passive=True))


async def exclusive_consumer(run):
    connection = await run.connect()
    channel = await connection.channel()
    queue = await run.declared(channel)

    async def consume(ch, **options):
        await (await ch.get_queue(queue.name)).consume(ignore, **options)

    sole = await Inbox.on(queue, exclusive=True)
    await channel_error(connection, 403, consume)
    await channel_error(await run.connect(), 403, consume)
    await queue.cancel(sole.tag)
    shared = await Inbox.on(queue)
    await channel_error(connection, 403, lambda ch: consume(ch, exclusive=True))
    await send(channel, queue, b"m")
    equal(await shared.bodies(1), [b"m"])


async def round_robin(run):
    connection = await run.connect()
    channel = await connection.channel()
    queue = await run.declared(channel)
    inboxes = []
    for _ in range(2):
        own = await connection.channel()
        inboxes.append(await Inbox.on(await own.get_queue(queue.name), no_ack=True))
    await send(channel, queue, *numbered(0, 9))
    bodies = [await inbox.bodies(5) for inbox in inboxes]
    equal(sorted(bodies), [numbered(0, 9)[::2], numbered(0, 9)[1::2]])


async def channels(run):
    connection = await run.connect()
    for _ in range(2):
        opened = await asyncio.gather(*(connection.channel() for _ in range(100)))

        async def use(i, channel):
            queue = await run.declared(channel, f"q{i}", durable=False, exclusive=True)
            await send(channel, queue, str(i).encode())
            equal(await drain(queue), [str(i).encode()])
            await channel.close()

        await asyncio.gather(*(use(i, channel) for i, channel in enumerate(opened)))


async def unacked_order(run):
    channel = await run.channel()
    queue = await run.declared(channel)
    await send(channel, queue, *numbered(0, 19))
    holder = await run.connect()
    await (await Inbox.on(await (await holder.channel()).get_queue(queue.name))).take(20)
    await holder.close()
    got = await (await Inbox.on(queue)).take(20)
    equal([(m.redelivered, m.body) for m in got], [(True, body) for body in numbered(0, 19)])


async def tx(run):
    channel, watcher = await run.channel(publisher_confirms=False), await run.channel()
    queue = await run.declared(watcher)
    transaction = channel.transaction()
    await transaction.select()
    await send(channel, queue, b"rolled back")
    await transaction.rollback()
    await send(channel, queue, b"kept")
    equal(await count(watcher, queue), 0)
    await transaction.commit()
    equal(await count(watcher, queue), 1)
    got = await (await channel.get_queue(queue.name)).get()
    equal(got.body, b"kept")
    await got.ack()
    await transaction.rollback()
    await channel.close()
    await await_count(watcher, queue, 1)


async def blocked(run):
    connection = await run.connect()
    lower_connection = connection.transport.connection
    equal(lower_connection.server_capabilities["connection.blocked"], True)
    channel = await connection.channel()
    queue = await run.declared(channel)
    await send(channel, queue, b"x")
    await asyncio.sleep(0.2)
    equal((connection.is_closed, await drain(queue)), (False, [b"x"]))


async def restart(run):
    needs_restart()
    channel = await run.channel()
    queue = await run.declared(channel)
    transient = await run.declared(channel, "transient", durable=False)
    exchange = await channel.declare_exchange(run.exchange("x"), "direct", durable=True)
    await queue.bind(exchange, "k")
    await asyncio.gather(*(exchange.publish(persistent(body), "k") for body in numbered(0, 99)))
    await restart_broker()
    connection = await run.connect()
    channel = await connection.channel()
    equal(await count(channel, queue), 100)
    await channel_error(connection, 404, lambda ch: ch.declare_queue(transient.name, passive=True))
    await (await channel.get_exchange(exchange.name)).publish(persistent(b"m100"), "k")
    kept = await channel.get_queue(queue.name)
    equal(await (await Inbox.on(kept, no_ack=True)).bodies(101), numbered(0, 100))


async def recovery(run):
    needs_restart()
    connection = await run.connect(connect=aio_pika.connect_robust, reconnect_interval=0.5)
    queue = await run.declared(await connection.channel())
    inbox = await Inbox.on(queue, no_ack=True)
    await send(await run.channel(), queue, b"before")
    equal(await inbox.bodies(1), [b"before"])
    await restart_broker()
    await (await run.channel()).default_exchange.publish(persistent(b"after"), queue.name)
    equal(await inbox.bodies(1), [b"after"])


SCENARIOS = {function.__name__.replace("_", "-"): function for function in (
    hello, topology, declare, confirms, returns, acks, prefetch, get, properties, headers, large, heartbeat,
    channel_errors, connection_errors, login, consumer_cancel, lifetimes, exclusive_consumer, round_robin, channels,
    unacked_order, queues.rpc, queues.dead_letter, tx, queues.ttl, queues.limits, queues.priorities, queues.sac,
    queues.quorum, queues.consumer_timeout, queues.delayed, queues.deduplication, queues.consistent_hash,
    queues.permissions, blocked, restart, recovery)}

if __name__ == "__main__":
    main(SCENARIOS)
