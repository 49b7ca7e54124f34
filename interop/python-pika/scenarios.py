"""The scenarios of ../README.md with pika's BlockingConnection."""

import time
from datetime import datetime, timezone
from decimal import Decimal

import pika
import scenarios_queues as queues
from harness import *
from pika import exceptions


def ignore(*_delivery):
    """A consumer for queues that must refuse it."""


def hello(run):
    channel = run.channel()
    queue = run.declared(channel)
    channel.basic_publish("", queue, b"hello")
    inbox = Inbox(channel, queue)
    method, _, body = inbox.take(1)[0]
    equal((body, method.exchange, method.routing_key, method.redelivered), (b"hello", "", queue, False))
    channel.basic_ack(method.delivery_tag)
    channel.basic_cancel(inbox.tag)
    equal(count(channel, queue), 0)


def topology(run):
    channel = run.channel()
    direct, fanout, topic, headers = (run.exchange(kind) for kind in ("direct", "fanout", "topic", "headers"))
    for name, kind in ((direct, "direct"), (fanout, "fanout"), (topic, "topic"), (headers, "headers")):
        channel.exchange_declare(name, kind, durable=True)
        channel.exchange_declare(name, passive=True)
    q = [run.declared(channel, f"q{i}") for i in range(3)]

    def routed(exchange, key, wanted, properties=None):
        channel.basic_publish(exchange, key, key.encode(), properties)
        equal([i for i in range(3) if drain(channel, q[i]) == [key.encode()]], wanted)

    channel.queue_bind(q[0], direct, "red")
    channel.queue_bind(q[0], direct, "red")
    routed(direct, "red", [0])
    routed(direct, "blue", [])
    channel.queue_unbind(q[0], direct, "red")
    channel.queue_unbind(q[0], direct, "red")
    routed(direct, "red", [])

    channel.queue_bind(q[0], fanout, "any")
    channel.queue_bind(q[1], fanout, "")
    routed(fanout, "other", [0, 1])
    channel.exchange_bind(fanout, direct, "e2e")
    routed(direct, "e2e", [0, 1])
    channel.exchange_unbind(fanout, direct, "e2e")
    routed(direct, "e2e", [])

    for queue, pattern in zip(q, ("a.*.c", "a.#", "*")):
        channel.queue_bind(queue, topic, pattern)
    for key, wanted in TOPIC_ROUTES:
        routed(topic, key, wanted)

    match_all = {"x-match": "all", "type": "report", "n": 1}
    match_any = {"x-match": "any", "type": "report", "n": 1}
    channel.queue_bind(q[0], headers, "", match_all)
    channel.queue_bind(q[1], headers, "", match_any)
    for table, wanted in HEADER_ROUTES:
        routed(headers, "h", wanted, pika.BasicProperties(headers=table))
    channel.queue_unbind(q[1], headers, "", match_any)
    routed(headers, "h", [0], pika.BasicProperties(headers={"type": "report", "n": 1}))

    for name in (direct, fanout, topic, headers, direct):
        channel.exchange_delete(name)
    channel_error(run.connect(), 404, lambda ch: ch.exchange_declare(direct, passive=True))


TOPIC_ROUTES = [("a.b.c", [0, 1]), ("a", [1, 2]), ("a.b", [1]), ("b", [2]), ("a..c", [0, 1]), ("b.a.c", [])]
HEADER_ROUTES = [({"type": "report", "n": 1}, [0, 1]), ({"type": "report"}, [1]), ({"type": "report", "n": 2}, [1]),
                 ({"type": "other"}, []), (None, [])]


def declare(run):
    connection = run.connect()
    channel = connection.channel()
    queue = run.declared(channel)
    channel.queue_declare(queue, durable=True)
    publish(channel, queue, numbered(0, 2))
    inbox = Inbox(connection.channel(), queue, auto_ack=False)
    inbox.take(3)
    result = channel.queue_declare(queue, passive=True).method
    equal((result.queue, result.message_count, result.consumer_count), (queue, 0, 1))
    channel_error(connection, 406, lambda ch: ch.queue_delete(queue, if_unused=True))
    inbox.channel.close()
    await_count(channel, queue, 3)
    channel_error(connection, 406, lambda ch: ch.queue_delete(queue, if_empty=True))
    equal(channel.queue_purge(queue).method.message_count, 3)
    equal(channel.queue_delete(queue, if_unused=True, if_empty=True).method.message_count, 0)
    equal(channel.queue_delete(queue).method.message_count, 0)
    named = channel.queue_declare("", exclusive=True).method.queue
    assert named.startswith("amq.gen-"), named
    exchange = run.exchange("x")
    channel.exchange_declare(exchange, "fanout")
    channel.queue_bind(named, exchange)
    channel_error(connection, 406, lambda ch: ch.exchange_delete(exchange, if_unused=True))
    channel.queue_unbind(named, exchange)
    channel.exchange_delete(exchange, if_unused=True)


def confirms(run):
    channel = run.channel()
    queue = run.declared(channel)
    channel.confirm_delivery()
    bodies = numbered(0, 1099)
    for body in bodies:  # the blocking channel waits for each confirm; it raises on a nack
        channel.basic_publish("", queue, body, PERSISTENT)
    equal(count(channel, queue), 1100)
    equal(Inbox(channel, queue, auto_ack=True).bodies(1100), bodies)


def returns(run):
    channel = run.channel()
    queue = run.declared(channel)
    channel.confirm_delivery()
    try:
        channel.basic_publish("", queue + ".none", b"lost", mandatory=True)
    except exceptions.UnroutableError as error:
        message = error.messages[0]
        equal((message.method.reply_code, message.method.reply_text), (312, "NO_ROUTE"))
        equal((message.method.exchange, message.method.routing_key, message.body), ("", queue + ".none", b"lost"))
    else:
        raise AssertionError("not returned")
    channel.basic_publish("", queue, b"kept", mandatory=True)
    channel.basic_publish("", queue + ".none", b"dropped")
    equal(drain(channel, queue), [b"kept"])


def acks(run):
    connection = run.connect()
    channel = connection.channel()
    queue = run.declared(channel)
    publish(channel, queue, numbered(0, 9))
    inbox = Inbox(channel, queue)
    got = inbox.take(10)
    equal([(m.delivery_tag, m.redelivered, body) for m, _, body in got],
          [(i + 1, False, body) for i, body in enumerate(numbered(0, 9))])
    channel.basic_cancel(inbox.tag)
    channel.basic_ack(1)
    channel.basic_ack(3, multiple=True)
    channel.basic_reject(4, requeue=False)
    channel.basic_nack(7, multiple=True, requeue=True)
    await_count(channel, queue, 3)
    channel.basic_reject(8, requeue=True)
    channel.basic_nack(9, requeue=True)
    await_count(channel, queue, 5)
    channel.close()
    channel = connection.channel()
    again = Inbox(channel, queue).take(6)
    equal([(m.redelivered, body) for m, _, body in again], [(True, body) for body in numbered(4, 9)])
    channel.basic_ack(6, multiple=True)
    channel.close()
    equal(count(connection.channel(), queue), 0)


def prefetch(run):
    connection = run.connect()
    for name, limit, glob, outstanding in (("each", 3, False, 6), ("all", 4, True, 4)):
        channel = connection.channel()
        queue = run.declared(channel, name)
        publish(channel, queue, numbered(0, 9))
        channel.basic_qos(prefetch_count=limit, global_qos=glob)
        inboxes = [Inbox(channel, queue), Inbox(channel, queue)]
        held = lambda: sum(len(inbox.got) for inbox in inboxes)
        wait(connection, lambda: held() >= outstanding)
        connection.sleep(0.3)
        equal(held(), outstanding)
        if not glob:
            equal([len(inbox.got) for inbox in inboxes], [3, 3])
        holder = next(inbox for inbox in inboxes if inbox.got)
        channel.basic_ack(holder.got[0][0].delivery_tag)
        wait(connection, lambda: held() >= outstanding + 1)
        connection.sleep(0.2)
        equal(held(), outstanding + 1)
        channel.close()


def get(run):
    channel = run.channel()
    queue = run.declared(channel)
    publish(channel, queue, numbered(0, 2))
    method, _, body = channel.basic_get(queue)
    equal((body, method.message_count, method.redelivered), (b"m0", 2, False))
    channel.basic_ack(method.delivery_tag)
    method, _, body = channel.basic_get(queue)
    equal((body, method.message_count, method.exchange, method.routing_key), (b"m1", 1, "", queue))
    channel.basic_nack(method.delivery_tag, requeue=True)
    await_count(channel, queue, 2)
    method, _, body = channel.basic_get(queue, auto_ack=True)
    equal((body, method.redelivered), (b"m1", True))
    equal(drain(channel, queue), [b"m2"])
    equal(channel.basic_get(queue), (None, None, None))


def properties(run):
    channel = run.channel()
    queue = run.declared(channel)
    full = pika.BasicProperties(
        content_type="text/plain", content_encoding="utf-8", headers={"k": "v"}, delivery_mode=2, priority=5,
        correlation_id="c-1", reply_to="r", expiration="60000", message_id="id-1", timestamp=1700000000,
        type="kind", user_id=pika.URLParameters(URL).credentials.username, app_id="app", cluster_id="cl")
    for sent in (full, pika.BasicProperties()):
        channel.basic_publish("", queue, b"x", sent)
        await_count(channel, queue, 1)
        equal(vars(channel.basic_get(queue, auto_ack=True)[1]), vars(sent))


def headers(run):
    channel = run.channel()
    queue = run.declared(channel)
    table = {
        "true": True, "false": False, "int": 7, "negative": -70000, "i32": 2**31 - 1, "i64": 2**40, "min": -2**63,
        "decimal": Decimal("3.14"), "string": "text", "unicode": "žluť ☃", "empty": "",
        "bytes": b"\x00\xff", "time": datetime.fromtimestamp(1700000000, timezone.utc),
        "void": None, "ключ": "key", "table": {"a": 1, "b": {"c": "deep", "d": {}}},
        "array": [1, "two", None, [3, []], {"four": 4}]}
    channel.basic_publish("", queue, b"x", pika.BasicProperties(headers=table))
    await_count(channel, queue, 1)
    equal(channel.basic_get(queue, auto_ack=True)[1].headers, table)


def large(run):
    channel = run.channel()
    queue = run.declared(channel)
    channel.confirm_delivery()
    inbox = Inbox(channel, queue, auto_ack=True)
    pattern = bytes(i * 7 % 251 for i in range(251 * 40))
    for size in (10_000_000, 0, 131063, 131064, 131065, 262128):
        body = (pattern * (size // len(pattern) + 1))[:size]
        channel.basic_publish("", queue, body, PERSISTENT)
        assert inbox.bodies(1) == [body], f"body of {size} bytes differs"


def heartbeat(run):
    idle, consuming = run.connect(heartbeat=2), run.connect(heartbeat=2)
    queue = run.declared(idle.channel())
    inbox = Inbox(consuming.channel(), queue, auto_ack=True)
    deadline = time.monotonic() + 7
    while time.monotonic() < deadline:
        idle.process_data_events(time_limit=0.1)
        consuming.process_data_events(time_limit=0.1)
    idle.channel().basic_publish("", queue, b"still here")
    equal(inbox.bodies(1), [b"still here"])


def channel_errors(run):
    connection, other = run.connect(), run.connect()
    channel = connection.channel()
    queue, exchange = run.declared(channel), run.exchange("x")
    channel.exchange_declare(exchange, "direct", durable=True)
    locked = run.declared(other.channel(), "locked", durable=False, exclusive=True)
    missing = queue + ".missing"

    def publish_to_missing(ch):
        ch.basic_publish(missing, "", b"x")
        ch.queue_declare(queue, passive=True)

    def unknown_tag(ch):
        ch.basic_ack(99)
        ch.queue_declare(queue, passive=True)

    for code, action in (
        (404, lambda ch: ch.queue_declare(missing, passive=True)),
        (404, lambda ch: ch.exchange_declare(missing, passive=True)),
        (404, lambda ch: ch.basic_consume(missing, ignore)),
        (404, lambda ch: ch.basic_get(missing)),
        (404, lambda ch: ch.queue_bind(queue, missing)),
        (404, publish_to_missing),
        (406, lambda ch: ch.queue_declare(queue, durable=True, auto_delete=True)),
        (406, lambda ch: ch.queue_declare(queue, durable=True, arguments={"x-max-length": 5})),
        (406, lambda ch: ch.exchange_declare(exchange, "fanout", durable=True)),
        (406, unknown_tag),
        (403, lambda ch: ch.queue_declare("amq." + queue)),
        (403, lambda ch: ch.exchange_declare("amq." + exchange, "direct")),
        (403, lambda ch: ch.queue_bind(queue, "", "k")),
        (405, lambda ch: ch.queue_declare(locked, passive=True)),
        (405, lambda ch: ch.basic_consume(locked, ignore)),
    ):
        channel_error(connection, code, action)
    equal(count(channel, queue), 0)


def connection_errors(run):
    bystander = run.channel()
    queue = run.declared(bystander)
    connection_error(run, 540, lambda ch: ch.basic_qos(prefetch_size=10))
    equal(count(bystander, queue), 0)


def login(run):
    wrong = pika.PlainCredentials(pika.URLParameters(URL).credentials.username, "wrong")
    for code, settings in ((530, {"virtual_host": "no-such-vhost"}), (403, {"credentials": wrong})):
        try:
            run.connect(**settings)
        except exceptions.AMQPConnectionError as error:
            assert f"({code})" in str(error), error
        else:
            raise AssertionError(f"connected with {settings}")
    run.connect()


def consumer_cancel(run):
    connection = run.connect()
    channel = connection.channel()
    queue = run.declared(channel)
    inbox = Inbox(channel, queue, auto_ack=True)
    channel.basic_cancel(inbox.tag)
    publish(channel, queue, [b"later"])
    equal((channel.queue_declare(queue, passive=True).method.consumer_count, inbox.got), (0, []))
    inbox = Inbox(channel, queue, auto_ack=True)
    equal(inbox.bodies(1), [b"later"])
    run.channel().queue_delete(queue)
    wait(connection, lambda: inbox.cancelled)
    equal(channel.is_open, True)


def lifetimes(run):
    connection, owner = run.connect(), run.connect()
    channel = connection.channel()

    def gone(queue):
        try:
            connection.channel().queue_declare(queue, passive=True)
        except exceptions.ChannelClosedByBroker as error:
            return error.reply_code == 404
        return False

    exclusive = run.declared(owner.channel(), "exclusive", durable=False, exclusive=True)
    channel_error(connection, 405, lambda ch: ch.queue_declare(exclusive, exclusive=True))
    auto = run.declared(channel, "auto", auto_delete=True)
    first, second = Inbox(owner.channel(), auto), Inbox(channel, auto)
    channel.basic_cancel(second.tag)
    equal(gone(auto), False)
    owner.close()
    wait(connection, lambda: gone(exclusive) and gone(auto))
    equal(first.got, [])
    queue, exchange = run.declared(channel), run.exchange("auto")
    channel.exchange_declare(exchange, "fanout", auto_delete=True)
    channel.queue_bind(queue, exchange)
    channel.exchange_declare(exchange, passive=True)
    channel.queue_unbind(queue, exchange)
    channel_error(connection, 404, lambda ch: ch.exchange_declare(exchange, passive=True))


def exclusive_consumer(run):
    connection = run.connect()
    channel = connection.channel()
    queue = run.declared(channel)
    sole = Inbox(channel, queue, exclusive=True)
    channel_error(connection, 403, lambda ch: ch.basic_consume(queue, ignore))
    channel_error(run.connect(), 403, lambda ch: ch.basic_consume(queue, ignore))
    channel.basic_cancel(sole.tag)
    shared = Inbox(channel, queue)
    channel_error(connection, 403, lambda ch: ch.basic_consume(queue, ignore, exclusive=True))
    publish_one = connection.channel()
    publish_one.basic_publish("", queue, b"m")
    equal(shared.bodies(1), [b"m"])


def round_robin(run):
    connection = run.connect()
    channel = connection.channel()
    queue = run.declared(channel)
    inboxes = [Inbox(connection.channel(), queue, auto_ack=True) for _ in range(2)]
    for body in numbered(0, 9):
        channel.basic_publish("", queue, body)
    bodies = [inbox.bodies(5) for inbox in inboxes]
    equal(sorted(bodies), [numbered(0, 9)[::2], numbered(0, 9)[1::2]])


def channels(run):
    connection = run.connect()
    for _ in range(2):
        opened = [connection.channel() for _ in range(100)]
        for i, channel in enumerate(opened):
            queue = run.declared(channel, f"q{i}", durable=False, exclusive=True)
            channel.basic_publish("", queue, str(i).encode())
        for i, channel in enumerate(opened):
            wait(connection, lambda: count(channel, run.queues[i]) == 1)
            equal(drain(channel, run.queues[i]), [str(i).encode()])
            channel.close()


def unacked_order(run):
    channel = run.channel()
    queue = run.declared(channel)
    publish(channel, queue, numbered(0, 19))
    holder = run.connect()
    Inbox(holder.channel(), queue).take(20)
    holder.close()
    got = Inbox(channel, queue).take(20)
    equal([(m.redelivered, body) for m, _, body in got], [(True, body) for body in numbered(0, 19)])


def tx(run):
    channel, watcher = run.channel(), run.channel()
    queue = run.declared(watcher)
    channel.tx_select()
    channel.basic_publish("", queue, b"rolled back")
    channel.tx_rollback()
    channel.basic_publish("", queue, b"kept")
    equal(count(watcher, queue), 0)
    channel.tx_commit()
    equal(count(watcher, queue), 1)
    method, _, body = channel.basic_get(queue)
    equal(body, b"kept")
    channel.basic_ack(method.delivery_tag)
    channel.tx_rollback()
    channel.close()
    await_count(watcher, queue, 1)


def blocked(run):
    connection, notices = run.connect(), []
    connection.add_on_connection_blocked_callback(lambda *args: notices.append(args))
    assert connection._impl.server_capabilities["connection.blocked"]
    channel = connection.channel()
    queue = run.declared(channel)
    publish(channel, queue, [b"x"])
    connection.sleep(0.2)
    equal((notices, connection.is_open), ([], True))


def restart(run):
    needs_restart()
    channel = run.channel()
    queue, exchange = run.declared(channel), run.exchange("x")
    transient = run.declared(channel, "transient", durable=False)
    channel.exchange_declare(exchange, "direct", durable=True)
    channel.queue_bind(queue, exchange, "k")
    channel.confirm_delivery()
    for body in numbered(0, 99):
        channel.basic_publish(exchange, "k", body, PERSISTENT)
    restart_broker()
    connection = run.connect()
    channel = connection.channel()
    equal(count(channel, queue), 100)
    channel_error(connection, 404, lambda ch: ch.queue_declare(transient, passive=True))
    channel.confirm_delivery()
    channel.basic_publish(exchange, "k", b"m100", PERSISTENT)
    equal(Inbox(channel, queue, auto_ack=True).bodies(101), numbered(0, 100))


def recovery(run):
    raise Skip("pika has no automatic recovery")


SCENARIOS = {function.__name__.replace("_", "-"): function for function in (
    hello, topology, declare, confirms, returns, acks, prefetch, get, properties, headers, large, heartbeat,
    channel_errors, connection_errors, login, consumer_cancel, lifetimes, exclusive_consumer, round_robin, channels,
    unacked_order, queues.rpc, queues.dead_letter, tx, queues.ttl, queues.limits, queues.priorities, queues.sac,
    queues.quorum, queues.consumer_timeout, queues.delayed, queues.deduplication, queues.consistent_hash,
    queues.permissions, blocked, restart, recovery)}

if __name__ == "__main__":
    main(SCENARIOS)
