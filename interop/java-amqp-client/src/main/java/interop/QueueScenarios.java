package interop;

import static interop.Harness.*;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** The scenarios of ../README.md about what queues and exchanges do by themselves, and about permissions. */
final class QueueScenarios {
    private static final AMQP.BasicProperties QUESTION =
            with().replyTo("amq.rabbitmq.reply-to").correlationId("7").build();

    private QueueScenarios() {}

    private static AMQP.BasicProperties.Builder with() { return new AMQP.BasicProperties.Builder(); }

    private static void send(Channel channel, String queue, String text, AMQP.BasicProperties properties)
            throws IOException {
        channel.basicPublish("", queue, properties, bytes(text));
    }

    private static void sendAll(Channel channel, String queue, List<String> texts) throws IOException {
        for (String text : texts) send(channel, queue, text, null);
    }

    /** A fanout exchange, and a consumer of all that it gets. */
    private record Letters(String exchange, Inbox inbox) {
        static Letters of(Run run, Channel channel) throws IOException {
            String exchange = run.exchange(channel, "dlx", "fanout"), dead = run.declared(channel, "dead");
            channel.queueBind(dead, exchange, "");
            return new Letters(exchange, Inbox.on(channel, dead, true));
        }

        /** Reason and body of the next dead letters. */
        List<String> take(int count) throws InterruptedException {
            return inbox.take(count).stream().map(got -> {
                List<?> deaths = (List<?>) plain(got.getProperties().getHeaders().get("x-death"));
                return ((Map<?, ?>) deaths.get(0)).get("reason") + " " + text(got.getBody());
            }).toList();
        }
    }

    static void deadLetter(Run run) throws Exception {
        Channel channel = run.channel();
        Letters letters = Letters.of(run, channel);
        String exchange = letters.exchange;
        String expiring = run.declared(channel, "expiring",
                Map.of("x-dead-letter-exchange", exchange, "x-message-ttl", 100));
        String rejecting = run.declared(channel, "rejecting", Map.of("x-dead-letter-exchange", exchange));
        Inbox source = Inbox.on(channel, rejecting, false);
        for (String queue : List.of(expiring, rejecting)) {
            String reason = queue.equals(expiring) ? "expired" : "rejected";
            channel.basicPublish("", queue, PERSISTENT, bytes("dead"));
            if (reason.equals("rejected")) {
                channel.basicReject(source.take(1).get(0).getEnvelope().getDeliveryTag(), false);
            }
            Delivery got = letters.inbox.take(1).get(0);
            equal(List.of(text(got.getBody()), got.getEnvelope().getExchange(), got.getEnvelope().getRoutingKey()),
                    List.of("dead", exchange, queue));
            Map<?, ?> headers = (Map<?, ?>) plain(got.getProperties().getHeaders());
            Map<?, ?> death = (Map<?, ?>) ((List<?>) headers.get("x-death")).get(0);
            equal(death.remove("time") instanceof Date, true);
            equal(death, Map.of("queue", queue, "reason", reason, "count", 1L, "exchange", "", "routing-keys",
                    List.of(queue)));
            equal(List.of(headers.get("x-first-death-queue"), headers.get("x-first-death-reason")),
                    List.of(queue, reason));
        }
    }

    static void ttl(Run run) throws Exception {
        Connection connection = run.connect();
        Channel channel = connection.createChannel();
        String expiring = run.declared(channel, "expiring", Map.of("x-message-ttl", 300));
        String plain = run.declared(channel, "q");
        send(channel, expiring, "of the queue", null);
        send(channel, expiring, "its own", with().expiration("60000").build());
        send(channel, plain, "short", with().expiration("100").build());
        send(channel, plain, "none", null);
        send(channel, plain, "now", with().expiration("0").build());
        awaitCount(channel, expiring, 0);
        until(() -> count(channel, plain) <= 2);
        Thread.sleep(100);
        equal(drain(channel, plain), List.of("none"));
        Inbox inbox = Inbox.on(channel, plain, true);
        send(channel, plain, "now", with().expiration("0").build());
        equal(bodies(inbox.take(1)), List.of("now"));
        String unused = run.declared(channel, "unused", Map.of("x-expires", 300));
        Thread.sleep(1000);
        channelError(connection, 404, ch -> ch.queueDeclarePassive(unused));
    }

    static void priorities(Run run) throws Exception {
        Channel channel = run.channel();
        String queue = run.declared(channel, "q", Map.of("x-max-priority", 5));
        List<Integer> priorities = Arrays.asList(null, 1, 5, 3, 5, 200);
        for (int i = 0; i < priorities.size(); i++) {
            send(channel, queue, "m" + i, with().priority(priorities.get(i)).build());
        }
        awaitCount(channel, queue, 6);
        equal(drain(channel, queue), List.of("m2", "m4", "m5", "m3", "m1", "m0"));
        String plain = run.declared(channel, "consumers");
        channel.basicQos(2);
        Inbox low = Inbox.on(channel, plain, false);
        Inbox high = Inbox.on(channel, plain, false, false, Map.of("x-priority", 10));
        sendAll(channel, plain, numbered(0, 4));
        equal(List.of(bodies(high.take(2)), bodies(low.take(2))), List.of(numbered(0, 1), numbered(2, 3)));
        equal(count(channel, plain), 1);
    }

    static void rpc(Run run) throws Exception {
        Connection connection = run.connect();
        Channel client = run.channel(), server = connection.createChannel();
        String queue = run.declared(server, "q");
        Inbox replies = Inbox.on(client, "amq.rabbitmq.reply-to", true);
        Inbox requests = Inbox.on(server, queue, true);
        send(client, queue, "ask", QUESTION);
        Delivery asked = requests.take(1).get(0);
        String replyTo = asked.getProperties().getReplyTo(), id = asked.getProperties().getCorrelationId();
        equal(replyTo.startsWith("amq.rabbitmq.reply-to."), true);
        AMQP.Queue.DeclareOk probed = server.queueDeclarePassive(replyTo);
        equal(List.of(probed.getMessageCount(), probed.getConsumerCount()), List.of(0, 1));
        send(server, replyTo, text(asked.getBody()) + "ed", with().correlationId(id).build());
        Delivery answer = replies.take(1).get(0);
        equal(List.of(text(answer.getBody()), answer.getProperties().getCorrelationId()), List.of("asked", "7"));
        client.close();
        channelError(connection, 404, ch -> ch.queueDeclarePassive(replyTo));
        channelError(connection, 406, ch -> send(ch, queue, "ask", QUESTION));
    }

    static void sac(Run run) throws Exception {
        Connection connection = run.connect();
        Channel channel = connection.createChannel();
        String queue = run.declared(channel, "q", Map.of("x-single-active-consumer", true));
        Inbox first = Inbox.on(channel, queue, true), second = Inbox.on(channel, queue, true);
        sendAll(channel, queue, numbered(0, 3));
        equal(List.of(bodies(first.take(4)), second.got.size()), List.of(numbered(0, 3), 0));
        channel.basicCancel(first.tag);
        send(channel, queue, "m4", null);
        equal(bodies(second.take(1)), List.of("m4"));
        channelError(connection, 403, ch -> Inbox.on(ch, queue, false, true));
    }

    static void quorum(Run run) throws Exception {
        Connection connection = run.connect();
        Channel channel = connection.createChannel();
        Letters letters = Letters.of(run, channel);
        Map<String, Object> quorum = Map.of("x-queue-type", "quorum");
        Map<String, Object> arguments = new LinkedHashMap<>(quorum);
        arguments.putAll(Map.of("x-dead-letter-exchange", letters.exchange, "x-delivery-limit", 2));
        String queue = run.declared(channel, "q", arguments);
        publishConfirmed(channel, "", queue, "poison");
        Inbox inbox = Inbox.on(channel, queue, false);
        for (Long returns : Arrays.asList(null, 1L, 2L)) {
            Delivery got = inbox.take(1).get(0);
            Map<String, Object> headers = got.getProperties().getHeaders();
            equal(headers == null ? null : headers.get("x-delivery-count"), returns);
            equal(List.of(text(got.getBody()), got.getEnvelope().isRedeliver()), List.of("poison", returns != null));
            channel.basicReject(got.getEnvelope().getDeliveryTag(), true);
        }
        equal(letters.take(1), List.of("delivery_limit poison"));
        awaitCount(channel, queue, 0);
        String other = queue + ".other";
        channelError(connection, 406, ch -> ch.queueDeclare(queue, true, false, false, null));
        channelError(connection, 406, ch -> ch.queueDeclare(other, false, false, false, quorum));
        channelError(connection, 406, ch -> ch.queueDeclare(other, true, true, false, quorum));
        channelError(connection, 406, ch -> ch.queueDeclare(other, true, false, true, quorum));
    }

    static void limits(Run run) throws Exception {
        Channel channel = run.channel();
        Letters letters = Letters.of(run, channel);
        String dropping = run.declared(channel, "dropping",
                Map.of("x-dead-letter-exchange", letters.exchange, "x-max-length", 2));
        sendAll(channel, dropping, numbered(0, 3));
        equal(letters.take(2), List.of("maxlen m0", "maxlen m1"));
        equal(drain(channel, dropping), numbered(2, 3));
        String small = run.declared(channel, "small", Map.of("x-max-length-bytes", 10));
        sendAll(channel, small, List.of("1234", "5678", "9abc"));
        awaitCount(channel, small, 2);
        equal(drain(channel, small), List.of("5678", "9abc"));
        channel.confirmSelect();
        for (String overflow : List.of("reject-publish", "reject-publish-dlx")) {
            String full = run.declared(channel, overflow, Map.of("x-dead-letter-exchange", letters.exchange,
                    "x-max-length", 1, "x-overflow", overflow));
            send(channel, full, "m0", PERSISTENT);
            equal(channel.waitForConfirms(8000), true);
            send(channel, full, "m1", PERSISTENT);
            equal(channel.waitForConfirms(8000), false);
            equal(drain(channel, full), List.of("m0"));
        }
        equal(letters.take(1), List.of("maxlen m1"));
    }

    static void consumerTimeout(Run run) throws Exception {
        Connection connection = run.connect();
        Channel channel = connection.createChannel(), holder = connection.createChannel();
        String queue = run.declared(channel, "q", Map.of("x-consumer-timeout", 300));
        CompletableFuture<Integer> closed = closeCode(holder);
        Inbox inbox = Inbox.on(holder, queue, false);
        send(channel, queue, "held", null);
        inbox.take(1);
        equal(List.of(closed.get(8, TimeUnit.SECONDS), connection.isOpen()), List.of(406, true));
        Delivery got = Inbox.on(channel, queue, true).take(1).get(0);
        equal(List.of(text(got.getBody()), got.getEnvelope().isRedeliver()), List.of("held", true));
    }

    static void delayed(Run run) throws Exception {
        Channel channel = run.channel();
        String queue = run.declared(channel, "q");
        String exchange = run.exchange(channel, "x", "x-delayed-message", Map.of("x-delayed-type", "direct"));
        channel.queueBind(queue, exchange, "k");
        Inbox inbox = Inbox.on(channel, queue, true);
        long sent = System.nanoTime();
        Map<String, Integer> delays = new LinkedHashMap<>();
        delays.put("last", 600);
        delays.put("second", 200);
        delays.put("first", null);
        for (String text : delays.keySet()) {
            Map<String, Object> headers = delays.get(text) == null ? null : Map.of("x-delay", delays.get(text));
            channel.basicPublish(exchange, "k", with().headers(headers).deliveryMode(2).build(), bytes(text));
        }
        equal(bodies(inbox.take(3)), List.of("first", "second", "last"));
        equal(System.nanoTime() - sent >= TimeUnit.MILLISECONDS.toNanos(600), true);
    }

    static void deduplication(Run run) throws Exception {
        Channel channel = run.channel();
        String exchange = run.exchange(channel, "x", "x-message-deduplication", Map.of("x-cache-size", 100));
        String behind = run.declared(channel, "behind");
        channel.queueBind(behind, exchange, "");
        String once = run.declared(channel, "once", Map.of("x-message-deduplication", true));
        channel.confirmSelect();
        for (String queue : List.of(behind, once)) {
            String target = queue.equals(behind) ? exchange : "";
            for (String message : List.of("a m0", "b m1", "a again", " m2", " m3")) {
                identified(channel, target, queue, message);
            }
            equal(drain(channel, queue), numbered(0, 3));
            identified(channel, target, queue, "a again");
            equal(drain(channel, queue), List.of());
        }
    }

    /** Publishes "identity body", and waits for its ack. */
    private static void identified(Channel channel, String target, String queue, String message) throws Exception {
        String identity = message.substring(0, message.indexOf(' '));
        Map<String, Object> headers = identity.isEmpty() ? null : Map.of("x-deduplication-header", identity);
        byte[] body = bytes(message.substring(identity.length() + 1));
        channel.basicPublish(target, queue, with().headers(headers).deliveryMode(2).build(), body);
        channel.waitForConfirmsOrDie(8000);
    }

    static void consistentHash(Run run) throws Exception {
        Connection connection = run.connect();
        Channel channel = connection.createChannel();
        String exchange = run.exchange(channel, "x", "x-consistent-hash");
        String light = run.declared(channel, "light"), heavy = run.declared(channel, "heavy");
        channel.queueBind(light, exchange, "1");
        channel.queueBind(heavy, exchange, "3");
        List<String> keys = new ArrayList<>(numbered(0, 199));
        keys.addAll(numbered(0, 199));
        for (String key : keys) channel.basicPublish(exchange, key, null, bytes(key));
        until(() -> count(channel, light) + count(channel, heavy) == 400);
        List<String> ofLight = drain(channel, light), ofHeavy = drain(channel, heavy);
        for (List<String> got : List.of(ofLight, ofHeavy)) {
            equal(got.subList(0, got.size() / 2), got.subList(got.size() / 2, got.size()));
        }
        equal(!ofLight.isEmpty() && ofLight.size() < ofHeavy.size(), true);
        List<String> all = new ArrayList<>(ofLight);
        all.addAll(ofHeavy);
        equal(all.stream().sorted().toList(), keys.stream().sorted().toList());
        channelError(connection, 406, ch -> ch.queueBind(light, exchange, "heavy"));
    }

    static void permissions(Run run) throws Exception {
        String restricted = System.getenv("RESTRICTED_URL");
        if (restricted == null || restricted.isEmpty()) throw new Skip("RESTRICTED_URL is not set");
        Channel channel = run.channel();
        String other = run.declared(channel, "other"), exchange = run.exchange(channel, "x", "fanout");
        ConnectionFactory factory = factory();
        factory.setUri(restricted);
        Connection limited = run.connect(factory);
        Channel ownChannel = limited.createChannel();
        String own = run.declared(ownChannel, "own");
        send(ownChannel, own, "mine", null);
        equal(bodies(Inbox.on(ownChannel, own, true).take(1)), List.of("mine"));
        for (ChannelStep action : List.<ChannelStep>of(
                ch -> ch.queueDeclare(other + ".new", true, false, false, null),
                ch -> ch.queueDelete(other),
                ch -> ch.exchangeDeclare(exchange + ".new", "fanout"),
                ch -> ch.basicPublish(exchange, "", null, bytes("x")),
                ch -> ch.queueBind(own, exchange, ""),
                ch -> ch.queueBind(other, exchange, ""),
                ch -> ch.basicGet(other, true),
                ch -> Inbox.on(ch, other, true),
                ch -> ch.queuePurge(other))) {
            channelError(limited, 403, action);
        }
        factory.setVirtualHost("interop-closed");
        int refusal = 0;
        try {
            run.connect(factory);
        } catch (IOException error) {
            if (error.getCause() instanceof ShutdownSignalException signal) refusal = code(signal);
        }
        equal(refusal, 530);
    }
}
