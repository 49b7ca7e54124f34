"""The scenarios of ../README.md about what queues and exchanges do by themselves, and about permissions."""

import os
import time

import pika
from harness import *
from pika import exceptions


def properties(**settings):
    return pika.BasicProperties(**settings)


def send_with(channel, queue, body, **settings):
    channel.basic_publish("", queue, body, properties(**settings))


def dead_letters(run, channel):
    """A fanout exchange for dead letters, and a consumer of all of them."""
    exchange, dead = run.exchange("dlx"), run.declared(channel, "dead")
    channel.exchange_declare(exchange, "fanout", durable=True)
    channel.queue_bind(dead, exchange)
    return {"x-dead-letter-exchange": exchange}, Inbox(channel, dead, auto_ack=True)


def dead_letter(run):
    channel = run.channel()
    dlx, inbox = dead_letters(run, channel)
    expiring = run.declared(channel, "expiring", arguments={**dlx, "x-message-ttl": 100})
    rejecting = run.declared(channel, "rejecting", arguments=dlx)
    source = Inbox(channel, rejecting)
    for queue, reason in ((expiring, "expired"), (rejecting, "rejected")):
        channel.basic_publish("", queue, b"dead", PERSISTENT)
        if reason == "rejected":
            channel.basic_reject(source.take(1)[0][0].delivery_tag, requeue=False)
        method, got, body = inbox.take(1)[0]
        equal((body, method.exchange, method.routing_key), (b"dead", dlx["x-dead-letter-exchange"], queue))
        death = got.headers["x-death"][0]
        equal({key: death[key] for key in ("queue", "reason", "count", "exchange", "routing-keys")},
              {"queue": queue, "reason": reason, "count": 1, "exchange": "", "routing-keys": [queue]})
        equal((got.headers["x-first-death-queue"], got.headers["x-first-death-reason"]), (queue, reason))


def ttl(run):
    connection = run.connect()
    channel = connection.channel()
    expiring, plain = run.declared(channel, "expiring", arguments={"x-message-ttl": 300}), run.declared(channel)
    send_with(channel, expiring, b"of the queue")
    send_with(channel, expiring, b"its own", expiration="60000")
    send_with(channel, plain, b"short", expiration="100")
    send_with(channel, plain, b"none")
    send_with(channel, plain, b"now", expiration="0")
    await_count(channel, expiring, 0)
    wait(connection, lambda: count(channel, plain) <= 2)
    connection.sleep(0.1)
    equal(drain(channel, plain), [b"none"])
    inbox = Inbox(channel, plain, auto_ack=True)
    send_with(channel, plain, b"now", expiration="0")
    equal(inbox.bodies(1), [b"now"])
    unused = run.declared(channel, "unused", arguments={"x-expires": 300})
    connection.sleep(1)
    channel_error(connection, 404, lambda ch: ch.queue_declare(unused, passive=True))


def priorities(run):
    channel = run.channel()
    queue = run.declared(channel, arguments={"x-max-priority": 5})
    for body, priority in zip(numbered(0, 5), (None, 1, 5, 3, 5, 200)):
        send_with(channel, queue, body, priority=priority)
    await_count(channel, queue, 6)
    equal(drain(channel, queue), [b"m2", b"m4", b"m5", b"m3", b"m1", b"m0"])
    plain = run.declared(channel, "consumers")
    channel.basic_qos(prefetch_count=2)
    low, high = Inbox(channel, plain), Inbox(channel, plain, arguments={"x-priority": 10})
    for body in numbered(0, 4):
        send_with(channel, plain, body)
    equal((high.bodies(2), low.bodies(2)), (numbered(0, 1), numbered(2, 3)))
    equal(count(channel, plain), 1)


def rpc(run):
    client, server = run.channel(), run.channel()
    queue = run.declared(server)
    replies = Inbox(client, "amq.rabbitmq.reply-to", auto_ack=True)
    requests = Inbox(server, queue, auto_ack=True)
    send_with(client, queue, b"ask", reply_to="amq.rabbitmq.reply-to", correlation_id="7")
    _, asked, body = requests.take(1)[0]
    assert asked.reply_to.startswith("amq.rabbitmq.reply-to."), asked.reply_to
    probed = server.queue_declare(asked.reply_to, passive=True).method
    equal((probed.message_count, probed.consumer_count), (0, 1))
    send_with(server, asked.reply_to, body + b"ed", correlation_id=asked.correlation_id)
    _, answered, body = replies.take(1)[0]
    equal((body, answered.correlation_id), (b"asked", "7"))
    client.close()
    channel_error(server.connection, 404, lambda ch: ch.queue_declare(asked.reply_to, passive=True))
    channel_error(server.connection, 406, lambda ch: (
        ch.confirm_delivery(), send_with(ch, queue, b"ask", reply_to="amq.rabbitmq.reply-to")))


def sac(run):
    channel = run.channel()
    queue = run.declared(channel, arguments={"x-single-active-consumer": True})
    first, second = Inbox(channel, queue, auto_ack=True), Inbox(channel, queue, auto_ack=True)
    for body in numbered(0, 3):
        send_with(channel, queue, body)
    equal((first.bodies(4), second.got), (numbered(0, 3), []))
    channel.basic_cancel(first.tag)
    send_with(channel, queue, b"m4")
    equal(second.bodies(1), [b"m4"])
    channel_error(channel.connection, 403, lambda ch: Inbox(ch, queue, exclusive=True))


def quorum(run):
    channel = run.channel()
    dlx, dead = dead_letters(run, channel)
    quorum_type = {"x-queue-type": "quorum"}
    queue = run.declared(channel, arguments={**dlx, **quorum_type, "x-delivery-limit": 2})
    channel.confirm_delivery()
    send_with(channel, queue, b"poison")
    inbox = Inbox(channel, queue)
    for returns in (None, 1, 2):
        method, got, body = inbox.take(1)[0]
        equal((body, method.redelivered, (got.headers or {}).get("x-delivery-count")),
              (b"poison", returns is not None, returns))
        channel.basic_reject(method.delivery_tag, requeue=True)
    _, got, body = dead.take(1)[0]
    equal((body, got.headers["x-death"][0]["reason"]), (b"poison", "delivery_limit"))
    await_count(channel, queue, 0)
    channel_error(channel.connection, 406, lambda ch: ch.queue_declare(queue, durable=True))
    other = queue + ".other"
    for options in ({"durable": False}, {"durable": True, "exclusive": True}, {"durable": True, "auto_delete": True}):
        channel_error(channel.connection, 406, lambda ch: ch.queue_declare(other, arguments=quorum_type, **options))


def limits(run):
    channel = run.channel()
    dlx, dead = dead_letters(run, channel)
    dropping = run.declared(channel, "dropping", arguments={**dlx, "x-max-length": 2})
    publish_all(channel, dropping, numbered(0, 3))
    equal([(got.headers["x-death"][0]["reason"], body) for _, got, body in dead.take(2)],
          [("maxlen", b"m0"), ("maxlen", b"m1")])
    equal(drain(channel, dropping), numbered(2, 3))
    small = run.declared(channel, "small", arguments={"x-max-length-bytes": 10})
    publish_all(channel, small, [b"1234", b"5678", b"9abc"])
    await_count(channel, small, 2)
    equal(drain(channel, small), [b"5678", b"9abc"])
    channel.confirm_delivery()
    for overflow in ("reject-publish", "reject-publish-dlx"):
        full = run.declared(channel, overflow, arguments={**dlx, "x-max-length": 1, "x-overflow": overflow})
        send_with(channel, full, b"m0")
        try:
            send_with(channel, full, b"m1")
        except exceptions.NackError:
            pass
        else:
            raise AssertionError(f"{overflow}: confirmed")
        equal(drain(channel, full), [b"m0"])
    equal([(got.headers["x-death"][0]["reason"], body) for _, got, body in dead.take(1)], [("maxlen", b"m1")])


def publish_all(channel, queue, bodies):
    for body in bodies:
        send_with(channel, queue, body)


def consumer_timeout(run):
    connection = run.connect()
    channel, holder = connection.channel(), connection.channel()
    queue = run.declared(channel, arguments={"x-consumer-timeout": 300})
    send_with(channel, queue, b"held")
    deliveries = holder.consume(queue, inactivity_timeout=8)
    equal(next(deliveries)[2], b"held")
    try:
        next(deliveries)
    except exceptions.ChannelClosedByBroker as error:
        equal((error.reply_code, connection.is_open), (406, True))
    else:
        raise AssertionError("the channel stayed open")
    method, _, body = Inbox(channel, queue, auto_ack=True).take(1)[0]
    equal((body, method.redelivered), (b"held", True))


def delayed(run):
    channel = run.channel()
    exchange, queue = run.exchange("x"), run.declared(channel)
    channel.exchange_declare(exchange, "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
    channel.queue_bind(queue, exchange, "k")
    inbox, sent = Inbox(channel, queue, auto_ack=True), time.monotonic()
    for body, headers in ((b"last", {"x-delay": 600}), (b"second", {"x-delay": 200}), (b"first", None)):
        channel.basic_publish(exchange, "k", body, properties(headers=headers, delivery_mode=2))
    equal(inbox.bodies(3), [b"first", b"second", b"last"])
    assert time.monotonic() - sent >= 0.6, "the last came too early"


def deduplication(run):
    channel = run.channel()
    exchange, behind = run.exchange("x"), run.declared(channel, "behind")
    channel.exchange_declare(exchange, "x-message-deduplication", durable=True, arguments={"x-cache-size": 100})
    channel.queue_bind(behind, exchange)
    once = run.declared(channel, "once", arguments={"x-message-deduplication": True})
    channel.confirm_delivery()

    def identified(identity):
        return properties(headers=identity and {"x-deduplication-header": identity}, delivery_mode=2)

    for target, queue in ((exchange, behind), ("", once)):
        for identity, body in (("a", b"m0"), ("b", b"m1"), ("a", b"again"), (None, b"m2"), (None, b"m3")):
            channel.basic_publish(target, queue, body, identified(identity))
        equal(drain(channel, queue), numbered(0, 3))
        channel.basic_publish(target, queue, b"again", identified("a"))
        equal(drain(channel, queue), [])


def consistent_hash(run):
    channel = run.channel()
    exchange = run.exchange("x")
    channel.exchange_declare(exchange, "x-consistent-hash", durable=True)
    queues = [run.declared(channel, name) for name in ("light", "heavy")]
    for queue, weight in zip(queues, ("1", "3")):
        channel.queue_bind(queue, exchange, weight)
    keys = numbered(0, 199)
    for key in keys * 2:
        channel.basic_publish(exchange, key.decode(), key)
    wait(channel.connection, lambda: sum(count(channel, queue) for queue in queues) == 400)
    light, heavy = (drain(channel, queue) for queue in queues)
    equal(sorted(light + heavy), sorted(keys * 2))
    for got in (light, heavy):
        equal(got[:len(got) // 2], got[len(got) // 2:])
    assert 0 < len(light) < len(heavy), (len(light), len(heavy))
    channel_error(channel.connection, 406, lambda ch: ch.queue_bind(queues[0], exchange, "heavy"))


def permissions(run):
    restricted = os.environ.get("RESTRICTED_URL")
    if not restricted:
        raise Skip("RESTRICTED_URL is not set")
    channel = run.channel()
    other, exchange = run.declared(channel, "other"), run.exchange("x")
    channel.exchange_declare(exchange, "fanout", durable=True)
    limited = pika.BlockingConnection(pika.URLParameters(restricted))
    run.connections.append(limited)
    own = run.declared(limited.channel(), "own")
    own_channel = limited.channel()
    send_with(own_channel, own, b"mine")
    equal(Inbox(own_channel, own, auto_ack=True).bodies(1), [b"mine"])
    for action in (
        lambda ch: ch.queue_declare(other + ".new"),
        lambda ch: ch.queue_delete(other),
        lambda ch: ch.exchange_declare(exchange + ".new", "fanout"),
        lambda ch: (ch.confirm_delivery(), ch.basic_publish(exchange, "", b"x")),
        lambda ch: ch.queue_bind(own, exchange),
        lambda ch: ch.queue_bind(other, exchange),
        lambda ch: ch.basic_get(other),
        lambda ch: Inbox(ch, other),
        lambda ch: ch.queue_purge(other),
    ):
        channel_error(limited, 403, action)
    closed = pika.URLParameters(restricted)
    closed.virtual_host = "interop-closed"
    try:
        pika.BlockingConnection(closed)
    except exceptions.AMQPConnectionError as error:
        assert "(530)" in str(error), error
    else:
        raise AssertionError("connected to a virtual host without permissions")
