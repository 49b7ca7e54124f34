// The scenarios of ../README.md with amqp091-go.
package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var scenarios = []scenario{
	{"hello", hello}, {"topology", topology}, {"declare", declare}, {"confirms", confirms}, {"returns", returns},
	{"acks", acks}, {"prefetch", prefetch}, {"get", get}, {"properties", properties}, {"headers", headers},
	{"large", large}, {"heartbeat", heartbeat}, {"channel-errors", channelErrors},
	{"connection-errors", connectionErrors}, {"login", login}, {"consumer-cancel", consumerCancel},
	{"lifetimes", lifetimes}, {"exclusive-consumer", exclusiveConsumer}, {"round-robin", roundRobin},
	{"channels", channels}, {"unacked-order", unackedOrder}, {"rpc", rpc}, {"dead-letter", deadLetter}, {"tx", tx},
	{"ttl", ttl}, {"limits", limits}, {"priorities", priorities}, {"sac", sac}, {"quorum", quorum},
	{"consumer-timeout", consumerTimeout}, {"delayed", delayed}, {"deduplication", deduplication},
	{"consistent-hash", consistentHash}, {"permissions", permissions}, {"blocked", blocked},
	{"restart", restart}, {"recovery", recovery},
}

func hello(r *run) {
	ch := r.channel()
	queue := r.declared(ch, "q", nil)
	publish(ch, "", queue, "hello")
	in := consume(ch, queue, false, false)
	got := in.take(1)[0]
	equal([]any{string(got.Body), got.Exchange, got.RoutingKey, got.Redelivered}, []any{"hello", "", queue, false})
	check(got.Ack(false))
	check(ch.Cancel(in.tag, false))
	equal(count(ch, queue), 0)
}

func topology(r *run) {
	ch := r.channel()
	direct, fanout := r.exchange(ch, "direct", "direct"), r.exchange(ch, "fanout", "fanout")
	topic, headers := r.exchange(ch, "topic", "topic"), r.exchange(ch, "headers", "headers")
	for name, kind := range map[string]string{direct: "direct", fanout: "fanout", topic: "topic", headers: "headers"} {
		check(ch.ExchangeDeclarePassive(name, kind, true, false, false, false, nil))
	}
	var q []string
	for i := range 3 {
		q = append(q, r.declared(ch, fmt.Sprintf("q%d", i), nil))
	}
	routed := func(exchange, key string, table amqp.Table, wanted ...int) {
		check(ch.Publish(exchange, key, false, false, amqp.Publishing{Headers: table, Body: []byte(key)}))
		var reached []int
		for i, queue := range q {
			if slices.Equal(drain(ch, queue), []string{key}) {
				reached = append(reached, i)
			}
		}
		equal(reached, wanted)
	}

	check(ch.QueueBind(q[0], "red", direct, false, nil))
	check(ch.QueueBind(q[0], "red", direct, false, nil))
	routed(direct, "red", nil, 0)
	routed(direct, "blue", nil)
	check(ch.QueueUnbind(q[0], "red", direct, nil))
	check(ch.QueueUnbind(q[0], "red", direct, nil))
	routed(direct, "red", nil)

	check(ch.QueueBind(q[0], "any", fanout, false, nil))
	check(ch.QueueBind(q[1], "", fanout, false, nil))
	routed(fanout, "other", nil, 0, 1)
	check(ch.ExchangeBind(fanout, "e2e", direct, false, nil))
	routed(direct, "e2e", nil, 0, 1)
	check(ch.ExchangeUnbind(fanout, "e2e", direct, false, nil))
	routed(direct, "e2e", nil)

	for i, pattern := range []string{"a.*.c", "a.#", "*"} {
		check(ch.QueueBind(q[i], pattern, topic, false, nil))
	}
	routed(topic, "a.b.c", nil, 0, 1)
	routed(topic, "a", nil, 1, 2)
	routed(topic, "a.b", nil, 1)
	routed(topic, "b", nil, 2)
	routed(topic, "a..c", nil, 0, 1)
	routed(topic, "b.a.c", nil)

	matchAny := amqp.Table{"x-match": "any", "type": "report", "n": 1}
	check(ch.QueueBind(q[0], "", headers, false, amqp.Table{"x-match": "all", "type": "report", "n": 1}))
	check(ch.QueueBind(q[1], "", headers, false, matchAny))
	routed(headers, "h", amqp.Table{"type": "report", "n": 1}, 0, 1)
	routed(headers, "h", amqp.Table{"type": "report"}, 1)
	routed(headers, "h", amqp.Table{"type": "report", "n": 2}, 1)
	routed(headers, "h", amqp.Table{"type": "other"})
	routed(headers, "h", nil)
	check(ch.QueueUnbind(q[1], "", headers, matchAny))
	routed(headers, "h", amqp.Table{"type": "report", "n": 1}, 0)

	for _, exchange := range []string{direct, fanout, topic, headers, direct} {
		check(ch.ExchangeDelete(exchange, false, false))
	}
	channelError(r.connect(), 404, func(ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive(direct, "direct", true, false, false, false, nil)
	})
}

func declare(r *run) {
	connection := r.connect()
	ch := must(connection.Channel())
	queue := r.declared(ch, "q", nil)
	equal(r.declared(ch, "q", nil), queue)
	send(ch, queue, numbered(0, 2))
	holder := must(connection.Channel())
	consume(holder, queue, false, false).take(3)
	state := must(ch.QueueDeclarePassive(queue, true, false, false, false, nil))
	equal(state, amqp.Queue{Name: queue, Messages: 0, Consumers: 1})
	remove := func(ifUnused, ifEmpty bool) func(*amqp.Channel) error {
		return func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete(queue, ifUnused, ifEmpty, false)
			return err
		}
	}
	channelError(connection, 406, remove(true, false))
	check(holder.Close())
	awaitCount(ch, queue, 3)
	channelError(connection, 406, remove(false, true))
	equal(must(ch.QueuePurge(queue, false)), 3)
	equal(must(ch.QueueDelete(queue, true, true, false)), 0)
	equal(must(ch.QueueDelete(queue, false, false, false)), 0)
	named := must(ch.QueueDeclare("", false, false, true, false, nil)).Name
	equal(strings.HasPrefix(named, "amq.gen-"), true)
	exchange := r.exchange(ch, "x", "fanout")
	check(ch.QueueBind(named, "", exchange, false, nil))
	channelError(connection, 406, func(ch *amqp.Channel) error { return ch.ExchangeDelete(exchange, true, false) })
	check(ch.QueueUnbind(named, "", exchange, nil))
	check(ch.ExchangeDelete(exchange, true, false))
}

func confirms(r *run) {
	ch := r.channel()
	queue := r.declared(ch, "q", nil)
	check(ch.Confirm(false))
	texts := numbered(0, 1099)
	publish := func(text string) *amqp.DeferredConfirmation {
		return must(ch.PublishWithDeferredConfirm("", queue, false, false, persistent([]byte(text))))
	}
	for first := 0; first < 1000; first += 100 {
		var pending []*amqp.DeferredConfirmation
		for _, text := range texts[first : first+100] {
			pending = append(pending, publish(text))
		}
		for _, confirmation := range pending {
			equal(confirmation.Wait(), true)
		}
	}
	for _, text := range texts[1000:] {
		equal(publish(text).Wait(), true)
	}
	equal(count(ch, queue), 1100)
	equal(bodies(consume(ch, queue, true, false).take(1100)), texts)
}

func returns(r *run) {
	ch := r.channel()
	queue := r.declared(ch, "q", nil)
	check(ch.Confirm(false))
	returned := ch.NotifyReturn(make(chan amqp.Return, 3))
	publish := func(key, body string, mandatory bool) {
		message := amqp.Publishing{Body: []byte(body)}
		equal(must(ch.PublishWithDeferredConfirm("", key, mandatory, false, message)).Wait(), true)
	}
	publish(queue+".none", "lost", true)
	equal(len(returned), 1) // already there when the confirm came
	got := <-returned
	equal([]any{got.ReplyCode, got.ReplyText, got.Exchange, got.RoutingKey, string(got.Body)},
		[]any{uint16(312), "NO_ROUTE", "", queue + ".none", "lost"})
	publish(queue, "kept", true)
	publish(queue+".none", "dropped", false)
	equal(len(returned), 0)
	equal(drain(ch, queue), []string{"kept"})
}

func acks(r *run) {
	connection := r.connect()
	ch := must(connection.Channel())
	queue := r.declared(ch, "q", nil)
	send(ch, queue, numbered(0, 9))
	in := consume(ch, queue, false, false)
	got := in.take(10)
	equal(bodies(got), numbered(0, 9))
	for i, delivery := range got {
		equal([]any{delivery.DeliveryTag, delivery.Redelivered}, []any{uint64(i + 1), false})
	}
	check(ch.Cancel(in.tag, false))
	check(got[0].Ack(false))
	check(got[2].Ack(true))
	check(got[3].Reject(false))
	check(got[6].Nack(true, true))
	awaitCount(ch, queue, 3)
	check(got[7].Reject(true))
	check(got[8].Nack(false, true))
	awaitCount(ch, queue, 5)
	check(ch.Close())
	ch = must(connection.Channel())
	again := consume(ch, queue, false, false).take(6)
	equal(bodies(again), numbered(4, 9))
	for _, delivery := range again {
		equal(delivery.Redelivered, true)
	}
	check(again[5].Ack(true))
	check(ch.Close())
	equal(count(must(connection.Channel()), queue), 0)
}

func prefetch(r *run) {
	connection := r.connect()
	for _, mode := range []struct {
		name               string
		limit, outstanding int
		global             bool
	}{{"each", 3, 6, false}, {"all", 4, 4, true}} {
		ch := must(connection.Channel())
		queue := r.declared(ch, mode.name, nil)
		send(ch, queue, numbered(0, 9))
		check(ch.Qos(mode.limit, 0, mode.global))
		one, two := consume(ch, queue, false, false), consume(ch, queue, false, false)
		var held []amqp.Delivery
		until(func() bool {
			held = append(append(held, one.arrived(20*time.Millisecond)...), two.arrived(20*time.Millisecond)...)
			return len(held) >= mode.outstanding
		})
		held = append(append(held, one.arrived(200*time.Millisecond)...), two.arrived(200*time.Millisecond)...)
		equal(len(held), mode.outstanding)
		if !mode.global {
			ofOne := slices.DeleteFunc(slices.Clone(held), func(d amqp.Delivery) bool { return d.ConsumerTag != one.tag })
			equal(len(ofOne), 3)
		}
		check(held[0].Ack(false))
		more := append(one.arrived(300*time.Millisecond), two.arrived(300*time.Millisecond)...)
		equal(len(more), 1)
		check(ch.Close())
	}
}

func get(r *run) {
	ch := r.channel()
	queue := r.declared(ch, "q", nil)
	send(ch, queue, numbered(0, 2))
	next := func(autoAck bool, body string, left uint32, redelivered bool) amqp.Delivery {
		got, ok, err := ch.Get(queue, autoAck)
		check(err)
		equal([]any{ok, string(got.Body), got.MessageCount, got.Redelivered, got.Exchange, got.RoutingKey},
			[]any{true, body, left, redelivered, "", queue})
		return got
	}
	check(next(false, "m0", 2, false).Ack(false))
	check(next(false, "m1", 1, false).Nack(false, true))
	awaitCount(ch, queue, 2)
	next(true, "m1", 1, true)
	equal(drain(ch, queue), []string{"m2"})
	_, ok, err := ch.Get(queue, false)
	check(err)
	equal(ok, false)
}

func properties(r *run) {
	ch := r.channel()
	queue := r.declared(ch, "q", nil)
	full := amqp.Publishing{
		ContentType: "text/plain", ContentEncoding: "utf-8", Headers: amqp.Table{"k": "v"}, DeliveryMode: 2,
		Priority: 5, CorrelationId: "c-1", ReplyTo: "r", Expiration: "60000", MessageId: "id-1",
		Timestamp: time.Unix(1700000000, 0), Type: "kind", UserId: must(amqp.ParseURI(amqpURL)).Username, AppId: "app",
		Body: []byte("x"), // amqp091-go has no cluster-id
	}
	for _, sent := range []amqp.Publishing{full, {Body: []byte("y")}} {
		check(ch.Publish("", queue, false, false, sent))
		awaitCount(ch, queue, 1)
		got, _, err := ch.Get(queue, true)
		check(err)
		equal(amqp.Publishing{
			ContentType: got.ContentType, ContentEncoding: got.ContentEncoding, Headers: got.Headers,
			DeliveryMode: got.DeliveryMode, Priority: got.Priority, CorrelationId: got.CorrelationId,
			ReplyTo: got.ReplyTo, Expiration: got.Expiration, MessageId: got.MessageId, Timestamp: got.Timestamp,
			Type: got.Type, UserId: got.UserId, AppId: got.AppId, Body: got.Body,
		}, sent)
	}
}

func headers(r *run) {
	ch := r.channel()
	queue := r.declared(ch, "q", nil)
	table := amqp.Table{
		"true": true, "false": false, "i8": int8(-7), "u8": uint8(255), "i16": int16(-300), "u16": uint16(65535),
		"i32": int32(-70000), "u32": uint32(1<<32 - 1), "i64": int64(1 << 40), "min": int64(-1 << 63),
		"float": float32(2.5), "double": 0.1, "decimal": amqp.Decimal{Scale: 2, Value: 314}, "string": "text",
		"unicode": "žluť ☃", "empty": "", "bytes": []byte{0, 255}, "time": time.Unix(1700000000, 0), "void": nil,
		"ключ": "key", "table": amqp.Table{"a": int32(1), "b": amqp.Table{"c": "deep", "d": amqp.Table{}}},
		"array": []any{int32(1), "two", nil, []any{3.5}, amqp.Table{"four": int32(4)}},
	}
	check(ch.Publish("", queue, false, false, amqp.Publishing{Headers: table}))
	awaitCount(ch, queue, 1)
	got, _, err := ch.Get(queue, true)
	check(err)
	equal(got.Headers, table)
}

func large(r *run) {
	ch := r.channel()
	queue := r.declared(ch, "q", nil)
	check(ch.Confirm(false))
	in := consume(ch, queue, true, false)
	for _, size := range []int{10_000_000, 0, 131063, 131064, 131065, 262128} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(i * 7 % 251)
		}
		equal(must(ch.PublishWithDeferredConfirm("", queue, false, false, persistent(body))).Wait(), true)
		equal(bytes.Equal(in.take(1)[0].Body, body), true)
	}
}

func heartbeat(r *run) {
	every := amqp.Config{Heartbeat: 2 * time.Second}
	idle, consuming := must(r.dial(amqpURL, every)), must(r.dial(amqpURL, every))
	equal(idle.Config.Heartbeat, 2*time.Second)
	queue := r.declared(must(idle.Channel()), "q", nil)
	in := consume(must(consuming.Channel()), queue, true, false)
	time.Sleep(7 * time.Second)
	publish(must(idle.Channel()), "", queue, "still here")
	equal(bodies(in.take(1)), []string{"still here"})
}

func consumerCancel(r *run) {
	ch := r.channel()
	queue := r.declared(ch, "q", nil)
	in := consume(ch, queue, true, false)
	check(ch.Cancel(in.tag, false))
	send(ch, queue, []string{"later"})
	state := must(ch.QueueDeclarePassive(queue, true, false, false, false, nil))
	equal([]int{state.Consumers, len(in.arrived(0))}, []int{0, 0})
	in = consume(ch, queue, true, false)
	equal(bodies(in.take(1)), []string{"later"})
	cancelled := ch.NotifyCancel(make(chan string, 1))
	must(r.channel().QueueDelete(queue, false, false, false))
	equal(receive(cancelled), in.tag)
	_, open := <-in.deliveries
	equal([]bool{open, ch.IsClosed()}, []bool{false, false})
}

func lifetimes(r *run) {
	connection, owner := r.connect(), r.connect()
	ch, owning := must(connection.Channel()), must(owner.Channel())
	gone := func(queue string) bool {
		probe := must(connection.Channel())
		_, err := probe.QueueDeclarePassive(queue, true, false, false, false, nil)
		return code(err) == 404
	}
	exclusive := must(owning.QueueDeclare(r.queue("exclusive"), false, false, true, false, nil)).Name
	channelError(connection, 405, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(exclusive, false, false, true, false, nil)
		return err
	})
	auto := must(ch.QueueDeclare(r.queue("auto"), true, true, false, false, nil)).Name
	consume(owning, auto, false, false)
	check(ch.Cancel(consume(ch, auto, false, false).tag, false))
	equal(gone(auto), false)
	check(owner.Close())
	until(func() bool { return gone(exclusive) && gone(auto) })

	queue, exchange := r.declared(ch, "q", nil), r.prefix+".auto"
	check(ch.ExchangeDeclare(exchange, "fanout", true, true, false, false, nil))
	check(ch.QueueBind(queue, "", exchange, false, nil))
	check(ch.ExchangeDeclarePassive(exchange, "fanout", true, true, false, false, nil))
	check(ch.QueueUnbind(queue, "", exchange, nil))
	channelError(connection, 404, func(ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive(exchange, "fanout", true, true, false, false, nil)
	})
}

func roundRobin(r *run) {
	connection := r.connect()
	ch := must(connection.Channel())
	queue := r.declared(ch, "q", nil)
	one := consume(must(connection.Channel()), queue, true, false)
	two := consume(must(connection.Channel()), queue, true, false)
	for _, text := range numbered(0, 9) {
		publish(ch, "", queue, text)
	}
	got := [][]string{bodies(one.take(5)), bodies(two.take(5))}
	slices.SortFunc(got, slices.Compare)
	equal(got, [][]string{{"m0", "m2", "m4", "m6", "m8"}, {"m1", "m3", "m5", "m7", "m9"}})
}

func channels(r *run) {
	connection := r.connect()
	for range 2 {
		var opened []*amqp.Channel
		for i := range 100 {
			ch := must(connection.Channel())
			must(ch.QueueDeclare(r.queue(fmt.Sprintf("q%d", i)), false, false, true, false, nil))
			publish(ch, "", r.queues[i], fmt.Sprint(i))
			opened = append(opened, ch)
		}
		for i, ch := range opened {
			awaitCount(ch, r.queues[i], 1)
			equal(drain(ch, r.queues[i]), []string{fmt.Sprint(i)})
			check(ch.Close())
		}
	}
}

func unackedOrder(r *run) {
	ch := r.channel()
	queue := r.declared(ch, "q", nil)
	send(ch, queue, numbered(0, 19))
	holder := r.connect()
	consume(must(holder.Channel()), queue, false, false).take(20)
	check(holder.Close())
	got := consume(ch, queue, false, false).take(20)
	equal(bodies(got), numbered(0, 19))
	for _, delivery := range got {
		equal(delivery.Redelivered, true)
	}
}

func tx(r *run) {
	ch, watcher := r.channel(), r.channel()
	queue := r.declared(watcher, "q", nil)
	check(ch.Tx())
	publish(ch, "", queue, "rolled back")
	check(ch.TxRollback())
	publish(ch, "", queue, "kept")
	equal(count(watcher, queue), 0)
	check(ch.TxCommit())
	equal(count(watcher, queue), 1)
	got, _, err := ch.Get(queue, false)
	check(err)
	equal(string(got.Body), "kept")
	check(got.Ack(false))
	check(ch.TxRollback())
	check(ch.Close())
	awaitCount(watcher, queue, 1)
}

func blocked(r *run) {
	connection := r.connect()
	notices := connection.NotifyBlocked(make(chan amqp.Blocking, 1))
	equal(connection.Properties["capabilities"].(amqp.Table)["connection.blocked"], true)
	ch := must(connection.Channel())
	queue := r.declared(ch, "q", nil)
	send(ch, queue, []string{"x"})
	time.Sleep(200 * time.Millisecond)
	equal([]any{len(notices), connection.IsClosed()}, []any{0, false})
}

func restart(r *run) {
	needsRestart()
	ch := r.channel()
	queue, exchange := r.declared(ch, "q", nil), r.exchange(ch, "x", "direct")
	transient := must(ch.QueueDeclare(r.queue("transient"), false, false, false, false, nil)).Name
	check(ch.QueueBind(queue, "k", exchange, false, nil))
	check(ch.Confirm(false))
	var pending []*amqp.DeferredConfirmation
	for _, text := range numbered(0, 99) {
		sent := persistent([]byte(text))
		pending = append(pending, must(ch.PublishWithDeferredConfirm(exchange, "k", false, false, sent)))
	}
	for _, confirmation := range pending {
		equal(confirmation.Wait(), true)
	}
	restartBroker()
	connection := r.connect()
	ch = must(connection.Channel())
	equal(count(ch, queue), 100)
	channelError(connection, 404, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(transient, false, false, false, false, nil)
		return err
	})
	publishConfirmed(ch, exchange, "k", "m100")
	equal(bodies(consume(ch, queue, true, false).take(101)), numbered(0, 100))
}

func recovery(r *run) {
	needsRestart()
	connection := must(r.dial(amqpURL, amqp.Config{Recovery: &amqp.Recovery{
		ReconnectionConfig: &amqp.ReconnectionConfig{MaxRetryCount: 40, RetryInterval: 300 * time.Millisecond},
	}}))
	ch := must(connection.Channel())
	queue := r.declared(ch, "q", nil)
	in := consume(ch, queue, true, false)
	publish(r.channel(), "", queue, "before")
	equal(bodies(in.take(1)), []string{"before"})
	restartBroker()
	publishConfirmed(r.channel(), "", queue, "after")
	equal(bodies(in.take(1)), []string{"after"})
}
