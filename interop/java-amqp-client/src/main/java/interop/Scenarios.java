package interop;

import static interop.Harness.*;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The scenarios of ../README.md with the RabbitMQ Java client. */
public final class Scenarios {
    private Scenarios() {}

    public static void main(String[] chosen) throws Exception {
        Map<String, Scenario> all = new LinkedHashMap<>();
        all.put("hello", Scenarios::hello);
        all.put("topology", Scenarios::topology);
        all.put("declare", Scenarios::declare);
        all.put("confirms", Scenarios::confirms);
        all.put("returns", Scenarios::returns);
        all.put("acks", Scenarios::acks);
        all.put("prefetch", Scenarios::prefetch);
        all.put("get", Scenarios::get);
        all.put("properties", Scenarios::properties);
        all.put("headers", Scenarios::headers);
        all.put("large", Scenarios::large);
        all.put("heartbeat", Scenarios::heartbeat);
        all.put("channel-errors", ErrorScenarios::channelErrors);
        all.put("connection-errors", ErrorScenarios::connectionErrors);
        all.put("login", ErrorScenarios::login);
        all.put("consumer-cancel", Scenarios::consumerCancel);
        all.put("lifetimes", Scenarios::lifetimes);
        all.put("exclusive-consumer", ErrorScenarios::exclusiveConsumer);
        all.put("round-robin", Scenarios::roundRobin);
        all.put("channels", Scenarios::channels);
        all.put("unacked-order", Scenarios::unackedOrder);
        all.put("rpc", QueueScenarios::rpc);
        all.put("dead-letter", QueueScenarios::deadLetter);
        all.put("tx", Scenarios::tx);
        all.put("ttl", QueueScenarios::ttl);
        all.put("limits", QueueScenarios::limits);
        all.put("priorities", QueueScenarios::priorities);
        all.put("sac", QueueScenarios::sac);
        all.put("quorum", QueueScenarios::quorum);
        all.put("consumer-timeout", QueueScenarios::consumerTimeout);
        all.put("delayed", QueueScenarios::delayed);
        all.put("deduplication", QueueScenarios::deduplication);
        all.put("consistent-hash", QueueScenarios::consistentHash);
        all.put("permissions", QueueScenarios::permissions);
        all.put("blocked", Scenarios::blocked);
        all.put("restart", Scenarios::restart);
        all.put("recovery", Scenarios::recovery);
        Harness.main(all, chosen);
    }

    private static void hello(Run run) throws Exception {
        Channel channel = run.channel();
        String queue = run.declared(channel, "q");
        channel.basicPublish("", queue, null, bytes("hello"));
        Inbox inbox = Inbox.on(channel, queue, false);
        Delivery got = inbox.take(1).get(0);
        equal(List.of(text(got.getBody()), got.getEnvelope().getExchange(), got.getEnvelope().getRoutingKey(),
                got.getEnvelope().isRedeliver()), List.of("hello", "", queue, false));
        channel.basicAck(got.getEnvelope().getDeliveryTag(), false);
        channel.basicCancel(inbox.tag);
        equal(count(channel, queue), 0);
    }

    private static void topology(Run run) throws Exception {
        Channel channel = run.channel();
        List<String> names = new ArrayList<>();
        for (String type : List.of("direct", "fanout", "topic", "headers")) {
            names.add(run.exchange(channel, type, type));
            channel.exchangeDeclarePassive(names.get(names.size() - 1));
        }
        String direct = names.get(0), fanout = names.get(1), topic = names.get(2), headers = names.get(3);
        List<String> q = List.of(run.declared(channel, "q0"), run.declared(channel, "q1"), run.declared(channel, "q2"));

        channel.queueBind(q.get(0), direct, "red");
        channel.queueBind(q.get(0), direct, "red");
        routed(channel, q, direct, "red", null, 0);
        routed(channel, q, direct, "blue", null);
        channel.queueUnbind(q.get(0), direct, "red");
        channel.queueUnbind(q.get(0), direct, "red");
        routed(channel, q, direct, "red", null);

        channel.queueBind(q.get(0), fanout, "any");
        channel.queueBind(q.get(1), fanout, "");
        routed(channel, q, fanout, "other", null, 0, 1);
        channel.exchangeBind(fanout, direct, "e2e");
        routed(channel, q, direct, "e2e", null, 0, 1);
        channel.exchangeUnbind(fanout, direct, "e2e");
        routed(channel, q, direct, "e2e", null);

        channel.queueBind(q.get(0), topic, "a.*.c");
        channel.queueBind(q.get(1), topic, "a.#");
        channel.queueBind(q.get(2), topic, "*");
        routed(channel, q, topic, "a.b.c", null, 0, 1);
        routed(channel, q, topic, "a", null, 1, 2);
        routed(channel, q, topic, "a.b", null, 1);
        routed(channel, q, topic, "b", null, 2);
        routed(channel, q, topic, "a..c", null, 0, 1);
        routed(channel, q, topic, "b.a.c", null);

        Map<String, Object> matchAny = Map.of("x-match", "any", "type", "report", "n", 1);
        channel.queueBind(q.get(0), headers, "", Map.of("x-match", "all", "type", "report", "n", 1));
        channel.queueBind(q.get(1), headers, "", matchAny);
        routed(channel, q, headers, "h", Map.of("type", "report", "n", 1), 0, 1);
        routed(channel, q, headers, "h", Map.of("type", "report"), 1);
        routed(channel, q, headers, "h", Map.of("type", "report", "n", 2), 1);
        routed(channel, q, headers, "h", Map.of("type", "other"));
        routed(channel, q, headers, "h", null);
        channel.queueUnbind(q.get(1), headers, "", matchAny);
        routed(channel, q, headers, "h", Map.of("type", "report", "n", 1), 0);

        for (String name : names) channel.exchangeDelete(name);
        channel.exchangeDelete(direct);
        channelError(run.connect(), 404, ch -> ch.exchangeDeclarePassive(direct));
    }

    private static void routed(Channel channel, List<String> queues, String exchange, String key,
            Map<String, Object> headers, Integer... wanted) throws Exception {
        channel.basicPublish(exchange, key, new AMQP.BasicProperties.Builder().headers(headers).build(), bytes(key));
        List<Integer> reached = new ArrayList<>();
        for (int i = 0; i < queues.size(); i++) {
            if (drain(channel, queues.get(i)).equals(List.of(key))) reached.add(i);
        }
        equal(reached, List.of(wanted));
    }

    private static void declare(Run run) throws Exception {
        Connection connection = run.connect();
        Channel channel = connection.createChannel();
        String queue = run.declared(channel, "q");
        equal(run.declared(channel, "q"), queue);
        send(channel, queue, numbered(0, 2));
        Channel holder = connection.createChannel();
        Inbox.on(holder, queue, false).take(3);
        AMQP.Queue.DeclareOk state = channel.queueDeclarePassive(queue);
        equal(List.of(state.getQueue(), state.getMessageCount(), state.getConsumerCount()), List.of(queue, 0, 1));
        channelError(connection, 406, ch -> ch.queueDelete(queue, true, false));
        holder.close();
        awaitCount(channel, queue, 3);
        channelError(connection, 406, ch -> ch.queueDelete(queue, false, true));
        equal(channel.queuePurge(queue).getMessageCount(), 3);
        equal(channel.queueDelete(queue, true, true).getMessageCount(), 0);
        equal(channel.queueDelete(queue).getMessageCount(), 0);
        String named = channel.queueDeclare().getQueue();
        equal(named.startsWith("amq.gen-"), true);
        String exchange = run.exchange(channel, "x", "fanout");
        channel.queueBind(named, exchange, "");
        channelError(connection, 406, ch -> ch.exchangeDelete(exchange, true));
        channel.queueUnbind(named, exchange, "");
        channel.exchangeDelete(exchange, true);
    }

    private static void confirms(Run run) throws Exception {
        Channel channel = run.channel();
        String queue = run.declared(channel, "q");
        channel.confirmSelect();
        List<String> texts = numbered(0, 1099);
        for (int i = 0; i < texts.size(); i++) {
            channel.basicPublish("", queue, PERSISTENT, bytes(texts.get(i)));
            if (i >= 1000 || i % 100 == 99) channel.waitForConfirmsOrDie(8000);
        }
        equal(count(channel, queue), 1100);
        equal(bodies(Inbox.on(channel, queue, true).take(1100)), texts);
    }

    private static void returns(Run run) throws Exception {
        Channel channel = run.channel();
        String queue = run.declared(channel, "q");
        List<String> events = Collections.synchronizedList(new ArrayList<>());
        channel.confirmSelect();
        channel.addReturnListener(got -> events.add(String.join(" ", "" + got.getReplyCode(), got.getReplyText(),
                got.getExchange(), got.getRoutingKey(), text(got.getBody()))));
        channel.addConfirmListener((tag, multiple) -> events.add("ack"), (tag, multiple) -> events.add("nack"));
        channel.basicPublish("", queue + ".none", true, null, bytes("lost"));
        channel.waitForConfirmsOrDie(8000);
        equal(events, List.of("312 NO_ROUTE  " + queue + ".none lost", "ack"));
        channel.basicPublish("", queue, true, null, bytes("kept"));
        channel.basicPublish("", queue + ".none", null, bytes("dropped"));
        channel.waitForConfirmsOrDie(8000);
        equal(events.stream().skip(2).anyMatch(event -> !event.equals("ack")), false);
        equal(drain(channel, queue), List.of("kept"));
    }

    private static void acks(Run run) throws Exception {
        Connection connection = run.connect();
        Channel channel = connection.createChannel();
        String queue = run.declared(channel, "q");
        send(channel, queue, numbered(0, 9));
        Inbox inbox = Inbox.on(channel, queue, false);
        List<Delivery> got = inbox.take(10);
        equal(bodies(got), numbered(0, 9));
        for (int i = 0; i < 10; i++) {
            equal(got.get(i).getEnvelope().getDeliveryTag(), i + 1L);
            equal(got.get(i).getEnvelope().isRedeliver(), false);
        }
        channel.basicCancel(inbox.tag);
        channel.basicAck(1, false);
        channel.basicAck(3, true);
        channel.basicReject(4, false);
        channel.basicNack(7, true, true);
        awaitCount(channel, queue, 3);
        channel.basicReject(8, true);
        channel.basicNack(9, false, true);
        awaitCount(channel, queue, 5);
        channel.close();
        Channel second = connection.createChannel();
        List<Delivery> again = Inbox.on(second, queue, false).take(6);
        equal(bodies(again), numbered(4, 9));
        equal(allRedelivered(again), true);
        second.basicAck(6, true);
        second.close();
        equal(count(connection.createChannel(), queue), 0);
    }

    private static void prefetch(Run run) throws Exception {
        Connection connection = run.connect();
        for (boolean global : List.of(false, true)) {
            Channel channel = connection.createChannel();
            String queue = run.declared(channel, "q" + global);
            send(channel, queue, numbered(0, 9));
            channel.basicQos(global ? 4 : 3, global);
            int outstanding = global ? 4 : 6;
            Inbox one = Inbox.on(channel, queue, false), two = Inbox.on(channel, queue, false);
            until(() -> one.got.size() + two.got.size() >= outstanding);
            Thread.sleep(300);
            equal(one.got.size() + two.got.size(), outstanding);
            if (!global) equal(one.got.size(), 3);
            Inbox holder = one.got.isEmpty() ? two : one;
            channel.basicAck(holder.got.peek().getEnvelope().getDeliveryTag(), false);
            until(() -> one.got.size() + two.got.size() >= outstanding + 1);
            Thread.sleep(200);
            equal(one.got.size() + two.got.size(), outstanding + 1);
            channel.close();
        }
    }

    private static void get(Run run) throws Exception {
        Channel channel = run.channel();
        String queue = run.declared(channel, "q");
        send(channel, queue, numbered(0, 2));
        channel.basicAck(next(channel, queue, false, "m0", 2, false), false);
        channel.basicNack(next(channel, queue, false, "m1", 1, false), false, true);
        awaitCount(channel, queue, 2);
        next(channel, queue, true, "m1", 1, true);
        equal(drain(channel, queue), List.of("m2"));
        equal(channel.basicGet(queue, false), null);
    }

    private static long next(Channel channel, String queue, boolean autoAck, String body, int left, boolean redelivered)
            throws Exception {
        GetResponse got = channel.basicGet(queue, autoAck);
        equal(List.of(text(got.getBody()), got.getMessageCount(), got.getEnvelope().isRedeliver(),
                got.getEnvelope().getExchange(), got.getEnvelope().getRoutingKey()),
                List.of(body, left, redelivered, "", queue));
        return got.getEnvelope().getDeliveryTag();
    }

    private static void properties(Run run) throws Exception {
        Channel channel = run.channel();
        String queue = run.declared(channel, "q");
        AMQP.BasicProperties full = new AMQP.BasicProperties.Builder().contentType("text/plain")
                .contentEncoding("utf-8").headers(Map.of("k", 1)).deliveryMode(2).priority(5).correlationId("c-1")
                .replyTo("r").expiration("60000").messageId("id-1").timestamp(new Date(1_700_000_000_000L))
                .type("kind").userId(factory().getUsername()).appId("app").clusterId("cl").build();
        for (AMQP.BasicProperties sent : List.of(full, new AMQP.BasicProperties())) {
            channel.basicPublish("", queue, sent, bytes("x"));
            awaitCount(channel, queue, 1);
            equal(channel.basicGet(queue, true).getProps(), sent);
        }
    }

    private static void headers(Run run) throws Exception {
        Channel channel = run.channel();
        String queue = run.declared(channel, "q");
        Map<String, Object> table = new LinkedHashMap<>(Map.of("true", true, "false", false, "i8", (byte) -7, "i16",
                (short) -300, "i32", -70000, "i64", 1L << 40, "min", Long.MIN_VALUE, "float", 2.5f, "double", 0.1));
        table.putAll(Map.of("decimal", new BigDecimal("3.14"), "string", "text", "unicode", "žluť ☃", "empty", "",
                "bytes", new byte[] {0, -1}, "time", new Date(1_700_000_000_000L), "ключ", "key", "table",
                Map.of("a", 1, "b", Map.of("c", "deep", "d", Map.of()))));
        table.put("void", null);
        table.put("array", Arrays.asList(1, "two", null, List.of(3.5, List.of()), Map.of("four", 4)));
        channel.basicPublish("", queue, new AMQP.BasicProperties.Builder().headers(table).build(), bytes("x"));
        awaitCount(channel, queue, 1);
        equal(plain(channel.basicGet(queue, true).getProps().getHeaders()), plain(table));
    }

    private static void large(Run run) throws Exception {
        Channel channel = run.channel();
        String queue = run.declared(channel, "q");
        channel.confirmSelect();
        Inbox inbox = Inbox.on(channel, queue, true);
        for (int size : new int[] {10_000_000, 0, 131063, 131064, 131065, 262128}) {
            byte[] body = new byte[size];
            for (int i = 0; i < size; i++) body[i] = (byte) (i * 7L % 251);
            channel.basicPublish("", queue, PERSISTENT, body);
            channel.waitForConfirmsOrDie(8000);
            equal(Arrays.equals(inbox.take(1).get(0).getBody(), body), true);
        }
    }

    private static void heartbeat(Run run) throws Exception {
        ConnectionFactory factory = factory();
        factory.setRequestedHeartbeat(2);
        Connection idle = run.connect(factory), consuming = run.connect(factory);
        equal(idle.getHeartbeat(), 2);
        String queue = run.declared(idle.createChannel(), "q");
        Inbox inbox = Inbox.on(consuming.createChannel(), queue, true);
        Thread.sleep(7000);
        idle.createChannel().basicPublish("", queue, null, bytes("still here"));
        equal(bodies(inbox.take(1)), List.of("still here"));
    }

    private static void consumerCancel(Run run) throws Exception {
        Channel channel = run.channel();
        String queue = run.declared(channel, "q");
        Inbox first = Inbox.on(channel, queue, true);
        channel.basicCancel(first.tag);
        send(channel, queue, List.of("later"));
        equal(List.of(channel.consumerCount(queue), (long) first.got.size()), List.of(0L, 0L));
        Inbox inbox = Inbox.on(channel, queue, true);
        equal(bodies(inbox.take(1)), List.of("later"));
        run.channel().queueDelete(queue);
        until(() -> inbox.cancelled);
        equal(channel.isOpen(), true);
    }

    private static void lifetimes(Run run) throws Exception {
        Connection connection = run.connect(), owner = run.connect();
        Channel channel = connection.createChannel(), owning = owner.createChannel();
        String exclusive = owning.queueDeclare(run.queue("exclusive"), false, true, false, null).getQueue();
        channelError(connection, 405, ch -> ch.queueDeclare(exclusive, false, true, false, null));
        String auto = channel.queueDeclare(run.queue("auto"), true, false, true, null).getQueue();
        Inbox.on(owning, auto, false);
        channel.basicCancel(Inbox.on(channel, auto, false).tag);
        equal(count(channel, auto), 0); // still there
        owner.close();
        channelErrorSoon(connection, exclusive);
        channelErrorSoon(connection, auto);

        String queue = run.declared(channel, "q"), exchange = run.prefix + ".auto";
        channel.exchangeDeclare(exchange, "fanout", true, true, null);
        channel.queueBind(queue, exchange, "");
        channel.exchangeDeclarePassive(exchange);
        channel.queueUnbind(queue, exchange, "");
        channelError(connection, 404, ch -> ch.exchangeDeclarePassive(exchange));
    }

    /** The queue is gone, now or a little later. */
    private static void channelErrorSoon(Connection connection, String queue) throws Exception {
        until(() -> {
            try {
                channelError(connection, 404, ch -> ch.queueDeclarePassive(queue));
                return true;
            } catch (AssertionError | java.util.concurrent.TimeoutException stillThere) {
                return false;
            }
        });
    }

    private static void roundRobin(Run run) throws Exception {
        Connection connection = run.connect();
        Channel channel = connection.createChannel();
        String queue = run.declared(channel, "q");
        Inbox one = Inbox.on(connection.createChannel(), queue, true);
        Inbox two = Inbox.on(connection.createChannel(), queue, true);
        for (String text : numbered(0, 9)) channel.basicPublish("", queue, null, bytes(text));
        List<List<String>> got = new ArrayList<>(List.of(bodies(one.take(5)), bodies(two.take(5))));
        got.sort((a, b) -> a.get(0).compareTo(b.get(0)));
        equal(got, List.of(List.of("m0", "m2", "m4", "m6", "m8"), List.of("m1", "m3", "m5", "m7", "m9")));
    }

    private static void channels(Run run) throws Exception {
        Connection connection = run.connect();
        for (int round = 0; round < 2; round++) {
            Map<Channel, String> opened = new LinkedHashMap<>();
            for (int i = 0; i < 100; i++) {
                Channel channel = connection.createChannel();
                String queue = channel.queueDeclare(run.queue("q" + i), false, true, false, null).getQueue();
                channel.basicPublish("", queue, null, bytes(queue));
                opened.put(channel, queue);
            }
            for (Channel channel : opened.keySet()) {
                String queue = opened.get(channel);
                awaitCount(channel, queue, 1);
                equal(drain(channel, queue), List.of(queue));
                channel.close();
            }
        }
    }

    private static void unackedOrder(Run run) throws Exception {
        Channel channel = run.channel();
        String queue = run.declared(channel, "q");
        send(channel, queue, numbered(0, 19));
        Connection holder = run.connect();
        Inbox.on(holder.createChannel(), queue, false).take(20);
        holder.close();
        List<Delivery> got = Inbox.on(channel, queue, false).take(20);
        equal(bodies(got), numbered(0, 19));
        equal(allRedelivered(got), true);
    }

    private static void tx(Run run) throws Exception {
        Channel channel = run.channel(), watcher = run.channel();
        String queue = run.declared(watcher, "q");
        channel.txSelect();
        channel.basicPublish("", queue, null, bytes("rolled back"));
        channel.txRollback();
        channel.basicPublish("", queue, null, bytes("kept"));
        equal(count(watcher, queue), 0);
        channel.txCommit();
        equal(count(watcher, queue), 1);
        GetResponse got = channel.basicGet(queue, false);
        equal(text(got.getBody()), "kept");
        channel.basicAck(got.getEnvelope().getDeliveryTag(), false);
        channel.txRollback();
        channel.close();
        awaitCount(watcher, queue, 1);
    }

    private static void blocked(Run run) throws Exception {
        Connection connection = run.connect();
        List<String> notices = Collections.synchronizedList(new ArrayList<>());
        connection.addBlockedListener(notices::add, () -> notices.add("unblocked"));
        Map<?, ?> capabilities = (Map<?, ?>) connection.getServerProperties().get("capabilities");
        equal(capabilities.get("connection.blocked"), true);
        Channel channel = connection.createChannel();
        send(channel, run.declared(channel, "q"), List.of("x"));
        Thread.sleep(200);
        equal(List.of(notices, connection.isOpen()), List.of(List.of(), true));
    }

    private static void restart(Run run) throws Exception {
        needsRestart();
        Channel channel = run.channel();
        String queue = run.declared(channel, "q"), exchange = run.exchange(channel, "x", "direct");
        String transientQueue = channel.queueDeclare(run.queue("transient"), false, false, false, null).getQueue();
        channel.queueBind(queue, exchange, "k");
        channel.confirmSelect();
        for (String text : numbered(0, 99)) channel.basicPublish(exchange, "k", PERSISTENT, bytes(text));
        channel.waitForConfirmsOrDie(8000);
        restartBroker();
        Connection connection = run.connect();
        Channel after = connection.createChannel();
        equal(count(after, queue), 100);
        channelError(connection, 404, ch -> ch.queueDeclarePassive(transientQueue));
        publishConfirmed(after, exchange, "k", "m100");
        equal(bodies(Inbox.on(after, queue, true).take(101)), numbered(0, 100));
    }

    private static void recovery(Run run) throws Exception {
        needsRestart();
        ConnectionFactory factory = factory();
        factory.setAutomaticRecoveryEnabled(true);
        factory.setNetworkRecoveryInterval(300);
        Channel channel = run.connect(factory).createChannel();
        String queue = run.declared(channel, "q");
        Inbox inbox = Inbox.on(channel, queue, true);
        run.channel().basicPublish("", queue, null, bytes("before"));
        equal(bodies(inbox.take(1)), List.of("before"));
        restartBroker();
        publishConfirmed(run.channel(), "", queue, "after");
        equal(bodies(inbox.take(1)), List.of("after"));
    }
}
