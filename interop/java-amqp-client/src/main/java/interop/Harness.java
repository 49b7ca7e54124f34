package interop;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.ShutdownNotifier;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Runs scenarios one by one: connections, names, clean-up, time limit, one line of result each. */
final class Harness {
    static final String RESTART = System.getenv("RESTART_BROKER");
    static final AMQP.BasicProperties PERSISTENT = MessageProperties.MINIMAL_PERSISTENT_BASIC;
    private static final int TIMEOUT_S = 20;
    private static final String PREFIX =
            "interop.java." + ProcessHandle.current().pid() + "." + System.currentTimeMillis();

    interface Scenario { void run(Run run) throws Exception; }

    interface ChannelStep { void on(Channel channel) throws Exception; }

    /** The library or the setting cannot run this scenario. */
    static final class Skip extends Exception {
        Skip(String reason) { super(reason); }
    }

    /** One scenario's connections and names; everything is closed and deleted afterwards. */
    static final class Run {
        final String prefix;
        private final List<Connection> connections = new ArrayList<>();
        private final List<String> queues = new ArrayList<>();
        private final List<String> exchanges = new ArrayList<>();

        Run(String scenario) { prefix = PREFIX + "." + scenario; }

        Connection connect() throws Exception { return connect(factory()); }

        Connection connect(ConnectionFactory factory) throws Exception {
            Connection connection = factory.newConnection();
            connections.add(connection);
            return connection;
        }

        Channel channel() throws Exception { return connect().createChannel(); }

        String queue(String name) {
            queues.add(prefix + "." + name);
            return prefix + "." + name;
        }

        String declared(Channel channel, String name) throws IOException { return declared(channel, name, null); }

        String declared(Channel channel, String name, Map<String, Object> arguments) throws IOException {
            return channel.queueDeclare(queue(name), true, false, false, arguments).getQueue();
        }

        String exchange(Channel channel, String name, String type) throws IOException {
            return exchange(channel, name, type, null);
        }

        String exchange(Channel channel, String name, String type, Map<String, Object> arguments) throws IOException {
            exchanges.add(prefix + "." + name);
            channel.exchangeDeclare(prefix + "." + name, type, true, false, arguments);
            return prefix + "." + name;
        }

        void clean() throws Exception {
            connections.forEach(Connection::abort);
            try (Connection connection = factory().newConnection()) {
                for (String queue : queues) connection.createChannel().queueDelete(queue);
                for (String exchange : exchanges) connection.createChannel().exchangeDelete(exchange);
            }
        }
    }

    /** A consumer that collects its deliveries. */
    static final class Inbox extends DefaultConsumer {
        final LinkedBlockingQueue<Delivery> got = new LinkedBlockingQueue<>();
        volatile boolean cancelled;
        String tag; // the superclass knows it only once another thread has handled consume-ok

        private Inbox(Channel channel) { super(channel); }

        static Inbox on(Channel channel, String queue, boolean autoAck) throws IOException {
            return on(channel, queue, autoAck, false);
        }

        static Inbox on(Channel channel, String queue, boolean autoAck, boolean exclusive) throws IOException {
            return on(channel, queue, autoAck, exclusive, null);
        }

        static Inbox on(
                Channel channel, String queue, boolean autoAck, boolean exclusive, Map<String, Object> arguments)
                throws IOException {
            Inbox inbox = new Inbox(channel);
            inbox.tag = channel.basicConsume(queue, autoAck, "", false, exclusive, arguments, inbox);
            return inbox;
        }

        @Override
        public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
            got.add(new Delivery(envelope, properties, body));
        }

        @Override
        public void handleCancel(String tag) { cancelled = true; }

        /** The next `count` deliveries. */
        List<Delivery> take(int count) throws InterruptedException {
            List<Delivery> taken = new ArrayList<>();
            while (taken.size() < count) {
                Delivery delivery = got.poll(8, TimeUnit.SECONDS);
                if (delivery == null) throw new AssertionError(taken.size() + " of " + count + " deliveries came");
                taken.add(delivery);
            }
            return taken;
        }
    }

    static ConnectionFactory factory() throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(Objects.requireNonNullElse(System.getenv("AMQP_URL"), "amqp://guest:guest@127.0.0.1:5672/%2F"));
        factory.setAutomaticRecoveryEnabled(false); // the scenario `recovery` turns it on
        return factory;
    }

    static byte[] bytes(String text) { return text.getBytes(StandardCharsets.UTF_8); }

    static String text(byte[] body) { return new String(body, StandardCharsets.UTF_8); }

    static List<String> bodies(List<Delivery> deliveries) {
        return deliveries.stream().map(delivery -> text(delivery.getBody())).toList();
    }

    static boolean allRedelivered(List<Delivery> deliveries) {
        return deliveries.stream().allMatch(delivery -> delivery.getEnvelope().isRedeliver());
    }

    static List<String> numbered(int first, int last) {
        List<String> texts = new ArrayList<>();
        for (int i = first; i <= last; i++) texts.add("m" + i);
        return texts;
    }

    static void equal(Object got, Object wanted) {
        if (!Objects.equals(got, wanted)) throw new AssertionError("got " + got + ", wanted " + wanted);
    }

    static void until(Callable<Boolean> done) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(8);
        while (!done.call()) {
            if (System.nanoTime() > deadline) throw new AssertionError("waited in vain");
            Thread.sleep(10);
        }
    }

    static int count(Channel channel, String queue) throws IOException {
        return channel.queueDeclarePassive(queue).getMessageCount();
    }

    static void awaitCount(Channel channel, String queue, int wanted) throws Exception {
        until(() -> count(channel, queue) == wanted);
    }

    static void send(Channel channel, String queue, List<String> texts) throws Exception {
        for (String text : texts) channel.basicPublish("", queue, null, bytes(text));
        awaitCount(channel, queue, texts.size());
    }

    static void publishConfirmed(Channel channel, String exchange, String key, String text) throws Exception {
        channel.confirmSelect();
        channel.basicPublish(exchange, key, PERSISTENT, bytes(text));
        channel.waitForConfirmsOrDie(8000);
    }

    static List<String> drain(Channel channel, String queue) throws IOException {
        List<String> texts = new ArrayList<>();
        for (GetResponse got; (got = channel.basicGet(queue, true)) != null; ) texts.add(text(got.getBody()));
        return texts;
    }

    /** A header value with its long strings, byte arrays and nested values made comparable. */
    static Object plain(Object value) {
        if (value instanceof LongString) return value.toString();
        if (value instanceof byte[] bytes) return "bytes " + HexFormat.of().formatHex(bytes);
        if (value instanceof List<?> list) return list.stream().map(Harness::plain).toList();
        if (value instanceof Map<?, ?> map) {
            Map<Object, Object> table = new LinkedHashMap<>();
            map.forEach((key, item) -> table.put(key, plain(item)));
            return table;
        }
        return value;
    }

    static CompletableFuture<Integer> closeCode(ShutdownNotifier notifier) {
        CompletableFuture<Integer> code = new CompletableFuture<>();
        notifier.addShutdownListener(signal -> code.complete(code(signal)));
        return code;
    }

    static int code(ShutdownSignalException signal) {
        if (signal.getReason() instanceof AMQP.Channel.Close close) return close.getReplyCode();
        if (signal.getReason() instanceof AMQP.Connection.Close close) return close.getReplyCode();
        return 0;
    }

    /** `action` closes its channel with `code`, and only that channel. */
    static void channelError(Connection connection, int code, ChannelStep action) throws Exception {
        Channel channel = connection.createChannel();
        CompletableFuture<Integer> closed = closeCode(channel);
        attempt(channel, action);
        equal(closed.get(8, TimeUnit.SECONDS), code);
        equal(List.of(channel.isOpen(), connection.isOpen()), List.of(false, true));
        connection.createChannel().close();
    }

    static void connectionError(Run run, int code, ChannelStep action) throws Exception {
        Connection connection = run.connect();
        CompletableFuture<Integer> closed = closeCode(connection);
        attempt(connection.createChannel(), action);
        equal(closed.get(8, TimeUnit.SECONDS), code);
    }

    private static void attempt(Channel channel, ChannelStep action) throws Exception {
        try {
            action.on(channel);
        } catch (IOException | ShutdownSignalException refused) {
            // the reason of the close is asserted
        }
    }

    static void needsRestart() throws Skip {
        if (RESTART == null || RESTART.isEmpty()) throw new Skip("RESTART_BROKER is not set");
    }

    static void restartBroker() throws Exception {
        Process process = new ProcessBuilder("sh", "-c", RESTART).redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
        equal(process.waitFor(), 0);
    }

    private static String withinTimeout(ExecutorService executor, Callable<Void> action) throws InterruptedException {
        try {
            executor.submit(action).get(TIMEOUT_S, TimeUnit.SECONDS);
            return "ok";
        } catch (TimeoutException late) {
            return "FAIL not done after 20 s";
        } catch (ExecutionException failed) {
            Throwable cause = failed.getCause();
            if (cause instanceof Skip) return "skip " + cause.getMessage();
            for (StackTraceElement step : cause.getStackTrace()) {
                if (step.getClassName().endsWith("Scenarios")) {
                    String reason = cause.getCause() == null ? "" : " " + cause.getCause();
                    return "FAIL " + step.getFileName() + " line " + step.getLineNumber() + ": " + cause + reason;
                }
            }
            return "FAIL " + cause;
        }
    }

    static void main(Map<String, Scenario> scenarios, String[] chosen) throws Exception {
        ExecutorService executor = Executors.newCachedThreadPool();
        boolean failed = false;
        for (String id : chosen.length == 0 ? List.copyOf(scenarios.keySet()) : List.of(chosen)) {
            Run run = new Run(id);
            String result = withinTimeout(executor, () -> {
                scenarios.get(id).run(run);
                return null;
            });
            String cleaned = withinTimeout(executor, () -> {
                run.clean();
                return null;
            });
            if (result.equals("ok") && !cleaned.equals("ok")) result = "FAIL cleaning up: " + cleaned;
            failed |= result.startsWith("FAIL");
            System.out.println(id + " " + result.replaceAll("\\s+", " "));
        }
        System.exit(failed ? 1 : 0); // what a timed-out scenario left open must not hold the exit
    }
}
