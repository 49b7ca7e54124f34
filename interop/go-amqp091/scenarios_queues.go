// The scenarios of ../README.md about what queues and exchanges do by themselves, and about permissions.
package main

import (
	"os"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func sendWith(ch *amqp.Channel, queue string, message amqp.Publishing, body string) {
	message.Body = []byte(body)
	check(ch.Publish("", queue, false, false, message))
}

// deadLetters returns the arguments of a queue whose dead letters reach the inbox.
func deadLetters(r *run, ch *amqp.Channel) (string, inbox) {
	exchange, dead := r.exchange(ch, "dlx", "fanout"), r.declared(ch, "dead", nil)
	check(ch.QueueBind(dead, "", exchange, false, nil))
	return exchange, consume(ch, dead, true, false)
}

func reason(delivery amqp.Delivery) any {
	return delivery.Headers["x-death"].([]any)[0].(amqp.Table)["reason"]
}

func passively(queue string) func(*amqp.Channel) error {
	return func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		return err
	}
}

func deadLetter(r *run) {
	ch := r.channel()
	exchange, in := deadLetters(r, ch)
	expiring := r.declared(ch, "expiring", amqp.Table{"x-dead-letter-exchange": exchange, "x-message-ttl": 100})
	rejecting := r.declared(ch, "rejecting", amqp.Table{"x-dead-letter-exchange": exchange})
	source := consume(ch, rejecting, false, false)
	for _, test := range []struct{ queue, reason string }{{expiring, "expired"}, {rejecting, "rejected"}} {
		check(ch.Publish("", test.queue, false, false, persistent([]byte("dead"))))
		if test.reason == "rejected" {
			check(source.take(1)[0].Reject(false))
		}
		got := in.take(1)[0]
		equal([]string{string(got.Body), got.Exchange, got.RoutingKey}, []string{"dead", exchange, test.queue})
		death := got.Headers["x-death"].([]any)[0].(amqp.Table)
		_, timed := death["time"].(time.Time)
		equal(timed, true)
		delete(death, "time")
		equal(death, amqp.Table{
			"queue": test.queue, "reason": test.reason, "count": int64(1), "exchange": "",
			"routing-keys": []any{test.queue},
		})
		equal([]any{got.Headers["x-first-death-queue"], got.Headers["x-first-death-reason"]},
			[]any{test.queue, test.reason})
	}
}

func ttl(r *run) {
	connection := r.connect()
	ch := must(connection.Channel())
	expiring, plain := r.declared(ch, "expiring", amqp.Table{"x-message-ttl": 300}), r.declared(ch, "q", nil)
	sendWith(ch, expiring, amqp.Publishing{}, "of the queue")
	sendWith(ch, expiring, amqp.Publishing{Expiration: "60000"}, "its own")
	sendWith(ch, plain, amqp.Publishing{Expiration: "100"}, "short")
	sendWith(ch, plain, amqp.Publishing{}, "none")
	sendWith(ch, plain, amqp.Publishing{Expiration: "0"}, "now")
	awaitCount(ch, expiring, 0)
	until(func() bool { return count(ch, plain) <= 2 })
	time.Sleep(100 * time.Millisecond)
	equal(drain(ch, plain), []string{"none"})
	in := consume(ch, plain, true, false)
	sendWith(ch, plain, amqp.Publishing{Expiration: "0"}, "now")
	equal(bodies(in.take(1)), []string{"now"})
	unused := r.declared(ch, "unused", amqp.Table{"x-expires": 300})
	time.Sleep(time.Second)
	channelError(connection, 404, passively(unused))
}

func priorities(r *run) {
	ch := r.channel()
	queue := r.declared(ch, "q", amqp.Table{"x-max-priority": 5})
	for i, priority := range []uint8{0, 1, 5, 3, 5, 200} {
		sendWith(ch, queue, amqp.Publishing{Priority: priority}, numbered(i, i)[0])
	}
	awaitCount(ch, queue, 6)
	equal(drain(ch, queue), []string{"m2", "m4", "m5", "m3", "m1", "m0"})
	plain := r.declared(ch, "consumers", nil)
	check(ch.Qos(2, 0, false))
	low := consume(ch, plain, false, false)
	high := inbox{"high", must(ch.Consume(plain, "high", false, false, false, false, amqp.Table{"x-priority": 10}))}
	for _, text := range numbered(0, 4) {
		publish(ch, "", plain, text)
	}
	equal([][]string{bodies(high.take(2)), bodies(low.take(2))}, [][]string{numbered(0, 1), numbered(2, 3)})
	equal(count(ch, plain), 1)
}

func rpc(r *run) {
	client, connection := r.channel(), r.connect()
	server := must(connection.Channel())
	queue := r.declared(server, "q", nil)
	replies := consume(client, "amq.rabbitmq.reply-to", true, false)
	requests := consume(server, queue, true, false)
	question := amqp.Publishing{ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: "7"}
	sendWith(client, queue, question, "ask")
	asked := requests.take(1)[0]
	equal(strings.HasPrefix(asked.ReplyTo, "amq.rabbitmq.reply-to."), true)
	probed := must(server.QueueDeclarePassive(asked.ReplyTo, false, false, false, false, nil))
	equal([]int{probed.Messages, probed.Consumers}, []int{0, 1})
	sendWith(server, asked.ReplyTo, amqp.Publishing{CorrelationId: asked.CorrelationId}, string(asked.Body)+"ed")
	answer := replies.take(1)[0]
	equal([]string{string(answer.Body), answer.CorrelationId}, []string{"asked", "7"})
	check(client.Close())
	channelError(connection, 404, passively(asked.ReplyTo))
	channelError(connection, 406, func(ch *amqp.Channel) error { return ch.Publish("", queue, false, false, question) })
}

func sac(r *run) {
	connection := r.connect()
	ch := must(connection.Channel())
	queue := r.declared(ch, "q", amqp.Table{"x-single-active-consumer": true})
	first, second := consume(ch, queue, true, false), consume(ch, queue, true, false)
	for _, text := range numbered(0, 3) {
		publish(ch, "", queue, text)
	}
	equal([][]string{bodies(first.take(4)), bodies(second.arrived(0))}, [][]string{numbered(0, 3), nil})
	check(ch.Cancel(first.tag, false))
	publish(ch, "", queue, "m4")
	equal(bodies(second.take(1)), []string{"m4"})
	channelError(connection, 403, func(ch *amqp.Channel) error {
		_, err := ch.Consume(queue, "", false, true, false, false, nil)
		return err
	})
}

func quorum(r *run) {
	connection := r.connect()
	ch := must(connection.Channel())
	exchange, dead := deadLetters(r, ch)
	queue := r.declared(ch, "q", amqp.Table{
		"x-dead-letter-exchange": exchange, "x-queue-type": "quorum", "x-delivery-limit": 2,
	})
	publishConfirmed(ch, "", queue, "poison")
	in := consume(ch, queue, false, false)
	for i, returns := range []any{nil, int64(1), int64(2)} {
		got := in.take(1)[0]
		equal([]any{string(got.Body), got.Redelivered, got.Headers["x-delivery-count"]},
			[]any{"poison", i > 0, returns})
		check(got.Reject(true))
	}
	letter := dead.take(1)[0]
	equal([]any{reason(letter), string(letter.Body)}, []any{"delivery_limit", "poison"})
	awaitCount(ch, queue, 0)
	declare := func(queue string, durable, autoDelete, exclusive bool, kind string) func(*amqp.Channel) error {
		return func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, durable, autoDelete, exclusive, false, amqp.Table{"x-queue-type": kind})
			return err
		}
	}
	channelError(connection, 406, declare(queue, true, false, false, "classic"))
	channelError(connection, 406, declare(queue+".other", false, false, false, "quorum"))
	channelError(connection, 406, declare(queue+".other", true, true, false, "quorum"))
	channelError(connection, 406, declare(queue+".other", true, false, true, "quorum"))
}

func limits(r *run) {
	ch := r.channel()
	exchange, dead := deadLetters(r, ch)
	dropping := r.declared(ch, "dropping", amqp.Table{"x-dead-letter-exchange": exchange, "x-max-length": 2})
	for _, text := range numbered(0, 3) {
		publish(ch, "", dropping, text)
	}
	letters := dead.take(2)
	equal([]any{bodies(letters), reason(letters[0]), reason(letters[1])}, []any{numbered(0, 1), "maxlen", "maxlen"})
	equal(drain(ch, dropping), numbered(2, 3))
	small := r.declared(ch, "small", amqp.Table{"x-max-length-bytes": 10})
	for _, text := range []string{"1234", "5678", "9abc"} {
		publish(ch, "", small, text)
	}
	awaitCount(ch, small, 2)
	equal(drain(ch, small), []string{"5678", "9abc"})
	check(ch.Confirm(false))
	for _, overflow := range []string{"reject-publish", "reject-publish-dlx"} {
		full := r.declared(ch, overflow, amqp.Table{
			"x-dead-letter-exchange": exchange, "x-max-length": 1, "x-overflow": overflow,
		})
		for i, accepted := range []bool{true, false} {
			message := persistent([]byte(numbered(i, i)[0]))
			equal(must(ch.PublishWithDeferredConfirm("", full, false, false, message)).Wait(), accepted)
		}
		equal(drain(ch, full), []string{"m0"})
	}
	letter := dead.take(1)[0]
	equal([]any{string(letter.Body), reason(letter)}, []any{"m1", "maxlen"})
}

func consumerTimeout(r *run) {
	connection := r.connect()
	ch, holder := must(connection.Channel()), must(connection.Channel())
	queue := r.declared(ch, "q", amqp.Table{"x-consumer-timeout": 300})
	closed := holder.NotifyClose(make(chan *amqp.Error, 1))
	in := consume(holder, queue, false, false)
	publish(ch, "", queue, "held")
	in.take(1)
	equal([]any{receive(closed).Code, connection.IsClosed()}, []any{406, false})
	got := consume(ch, queue, true, false).take(1)[0]
	equal([]any{string(got.Body), got.Redelivered}, []any{"held", true})
}

func delayed(r *run) {
	ch := r.channel()
	exchange, queue := r.prefix+".x", r.declared(ch, "q", nil)
	r.exchanges = append(r.exchanges, exchange)
	arguments := amqp.Table{"x-delayed-type": "direct"}
	check(ch.ExchangeDeclare(exchange, "x-delayed-message", true, false, false, false, arguments))
	check(ch.QueueBind(queue, "k", exchange, false, nil))
	in, sent := consume(ch, queue, true, false), time.Now()
	for _, message := range []amqp.Publishing{
		{Headers: amqp.Table{"x-delay": 600}, DeliveryMode: 2, Body: []byte("last")},
		{Headers: amqp.Table{"x-delay": 200}, DeliveryMode: 2, Body: []byte("second")},
		{DeliveryMode: 2, Body: []byte("first")},
	} {
		check(ch.Publish(exchange, "k", false, false, message))
	}
	equal(bodies(in.take(3)), []string{"first", "second", "last"})
	equal(time.Since(sent) >= 600*time.Millisecond, true)
}

func deduplication(r *run) {
	ch := r.channel()
	exchange, behind := r.prefix+".x", r.declared(ch, "behind", nil)
	r.exchanges = append(r.exchanges, exchange)
	check(ch.ExchangeDeclare(exchange, "x-message-deduplication", true, false, false, false, amqp.Table{"x-cache-size": 100}))
	check(ch.QueueBind(behind, "", exchange, false, nil))
	once := r.declared(ch, "once", amqp.Table{"x-message-deduplication": true})
	check(ch.Confirm(false))
	publish := func(target, queue, identity, body string) {
		message := persistent([]byte(body))
		if identity != "" {
			message.Headers = amqp.Table{"x-deduplication-header": identity}
		}
		equal(must(ch.PublishWithDeferredConfirm(target, queue, false, false, message)).Wait(), true)
	}
	for _, test := range [][2]string{{exchange, behind}, {"", once}} {
		for _, message := range [][2]string{{"a", "m0"}, {"b", "m1"}, {"a", "again"}, {"", "m2"}, {"", "m3"}} {
			publish(test[0], test[1], message[0], message[1])
		}
		equal(drain(ch, test[1]), numbered(0, 3))
		publish(test[0], test[1], "a", "again")
		equal(drain(ch, test[1]), []string(nil))
	}
}

func consistentHash(r *run) {
	connection := r.connect()
	ch := must(connection.Channel())
	exchange := r.exchange(ch, "x", "x-consistent-hash")
	light, heavy := r.declared(ch, "light", nil), r.declared(ch, "heavy", nil)
	check(ch.QueueBind(light, "1", exchange, false, nil))
	check(ch.QueueBind(heavy, "3", exchange, false, nil))
	keys := append(numbered(0, 199), numbered(0, 199)...)
	for _, key := range keys {
		publish(ch, exchange, key, key)
	}
	until(func() bool { return count(ch, light)+count(ch, heavy) == 400 })
	came := [][]string{drain(ch, light), drain(ch, heavy)}
	for _, got := range came {
		equal(got[:len(got)/2], got[len(got)/2:])
	}
	equal(len(came[0]) > 0 && len(came[0]) < len(came[1]), true)
	all := slices.Concat(came...)
	slices.Sort(all)
	slices.Sort(keys)
	equal(all, keys)
	channelError(connection, 406, func(ch *amqp.Channel) error {
		return ch.QueueBind(light, "heavy", exchange, false, nil)
	})
}

func permissions(r *run) {
	restricted := os.Getenv("RESTRICTED_URL")
	if restricted == "" {
		panic(skip("RESTRICTED_URL is not set"))
	}
	ch := r.channel()
	other, exchange := r.declared(ch, "other", nil), r.exchange(ch, "x", "fanout")
	limited := must(r.dial(restricted, amqp.Config{}))
	ch = must(limited.Channel())
	own := r.declared(ch, "own", nil)
	publish(ch, "", own, "mine")
	equal(bodies(consume(ch, own, true, false).take(1)), []string{"mine"})
	for _, action := range []func(*amqp.Channel) error{
		func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(other+".new", true, false, false, false, nil)
			return err
		},
		func(ch *amqp.Channel) error { _, err := ch.QueueDelete(other, false, false, false); return err },
		func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(exchange+".new", "fanout", true, false, false, false, nil)
		},
		func(ch *amqp.Channel) error { return ch.Publish(exchange, "", false, false, amqp.Publishing{}) },
		func(ch *amqp.Channel) error { return ch.QueueBind(own, "", exchange, false, nil) },
		func(ch *amqp.Channel) error { return ch.QueueBind(other, "", exchange, false, nil) },
		func(ch *amqp.Channel) error { _, _, err := ch.Get(other, true); return err },
		func(ch *amqp.Channel) error {
			_, err := ch.Consume(other, "", true, false, false, false, nil)
			return err
		},
		func(ch *amqp.Channel) error { _, err := ch.QueuePurge(other, false); return err },
	} {
		channelError(limited, 403, action)
	}
	_, err := r.dial(restricted, amqp.Config{Vhost: "interop-closed"})
	equal(slices.Contains([]int{530, 403}, code(err)), true) // the library makes 403 of any refusal of a vhost
}
