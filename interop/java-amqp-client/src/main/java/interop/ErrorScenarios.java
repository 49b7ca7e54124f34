package interop;

import static interop.Harness.*;

import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.util.List;
import java.util.Map;

/** The scenarios of ../README.md in which the broker must refuse. */
final class ErrorScenarios {
    private ErrorScenarios() {}

    static void channelErrors(Run run) throws Exception {
        Connection connection = run.connect(), other = run.connect();
        Channel channel = connection.createChannel();
        String queue = run.declared(channel, "q"), exchange = run.exchange(channel, "x", "direct");
        String locked = other.createChannel().queueDeclare(run.queue("locked"), false, true, false, null).getQueue();
        String missing = queue + ".missing";
        channelError(connection, 404, ch -> ch.queueDeclarePassive(missing));
        channelError(connection, 404, ch -> ch.exchangeDeclarePassive(missing));
        channelError(connection, 404, ch -> ch.basicConsume(missing, new DefaultConsumer(ch)));
        channelError(connection, 404, ch -> ch.basicGet(missing, true));
        channelError(connection, 404, ch -> ch.queueBind(queue, missing, "k"));
        channelError(connection, 404, ch -> ch.basicPublish(missing, "k", null, bytes("x")));
        channelError(connection, 406, ch -> ch.queueDeclare(queue, true, false, true, null));
        channelError(connection, 406, ch -> ch.queueDeclare(queue, true, false, false, Map.of("x-max-length", 5)));
        channelError(connection, 406, ch -> ch.exchangeDeclare(exchange, "fanout", true));
        channelError(connection, 406, ch -> ch.basicAck(99, false));
        channelError(connection, 403, ch -> ch.queueDeclare("amq." + queue, true, false, false, null));
        channelError(connection, 403, ch -> ch.exchangeDeclare("amq." + exchange, "direct"));
        channelError(connection, 403, ch -> ch.queueBind(queue, "", "k"));
        channelError(connection, 405, ch -> ch.queueDeclarePassive(locked));
        channelError(connection, 405, ch -> ch.basicConsume(locked, new DefaultConsumer(ch)));
        equal(count(channel, queue), 0);
    }

    static void connectionErrors(Run run) throws Exception {
        Channel bystander = run.channel();
        String queue = run.declared(bystander, "q");
        connectionError(run, 540, ch -> ch.basicQos(10, 1, false));
        connectionError(run, 540, ch -> ch.basicPublish("", queue, false, true, null, bytes("x")));
        connectionError(run, 530, ch -> {
            ch.basicConsume(queue, false, "twice", new DefaultConsumer(ch));
            ch.basicConsume(queue, false, "twice", new DefaultConsumer(ch));
        });
        equal(count(bystander, queue), 0);
    }

    static void login(Run run) throws Exception {
        ConnectionFactory vhost = factory(), password = factory();
        vhost.setVirtualHost("no-such-vhost");
        password.setPassword("wrong");
        int refusal = 0;
        try {
            run.connect(vhost);
        } catch (IOException error) {
            if (error.getCause() instanceof ShutdownSignalException signal) refusal = code(signal);
        }
        equal(refusal, 530);
        String text = "connected";
        try {
            run.connect(password);
        } catch (AuthenticationFailureException error) { // the library's exception for a 403 at login
            text = error.getMessage();
        }
        equal(List.of(text.split(" ")).get(0), "ACCESS_REFUSED");
        run.connect();
    }

    static void exclusiveConsumer(Run run) throws Exception {
        Connection connection = run.connect();
        Channel channel = connection.createChannel();
        String queue = run.declared(channel, "q");
        Inbox sole = Inbox.on(channel, queue, false, true);
        channelError(connection, 403, ch -> Inbox.on(ch, queue, false));
        channelError(run.connect(), 403, ch -> Inbox.on(ch, queue, false));
        channel.basicCancel(sole.tag);
        Inbox shared = Inbox.on(channel, queue, false);
        channelError(connection, 403, ch -> Inbox.on(ch, queue, false, true));
        channel.basicPublish("", queue, null, bytes("m"));
        equal(bodies(shared.take(1)), List.of("m"));
    }
}
