// The scenarios of ../README.md in which the broker must refuse.
package main

import (
	amqp "github.com/rabbitmq/amqp091-go"
)

func channelErrors(r *run) {
	connection, other := r.connect(), must(r.connect().Channel())
	ch := must(connection.Channel())
	queue, exchange := r.declared(ch, "q", nil), r.exchange(ch, "x", "direct")
	locked := must(other.QueueDeclare(r.queue("locked"), false, false, true, false, nil)).Name
	missing := queue + ".missing"
	passive := func(queue string) func(*amqp.Channel) error {
		return func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
			return err
		}
	}
	declareAs := func(queue string, autoDelete bool, args amqp.Table) func(*amqp.Channel) error {
		return func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, true, autoDelete, false, false, args)
			return err
		}
	}
	consumeFrom := func(queue string) func(*amqp.Channel) error {
		return func(ch *amqp.Channel) error {
			_, err := ch.Consume(queue, "", false, false, false, false, nil)
			return err
		}
	}
	for _, test := range []struct {
		code   int
		action func(*amqp.Channel) error
	}{
		{404, passive(missing)},
		{404, func(ch *amqp.Channel) error {
			return ch.ExchangeDeclarePassive(missing, "direct", true, false, false, false, nil)
		}},
		{404, consumeFrom(missing)},
		{404, func(ch *amqp.Channel) error { _, _, err := ch.Get(missing, true); return err }},
		{404, func(ch *amqp.Channel) error { return ch.QueueBind(queue, "k", missing, false, nil) }},
		{404, func(ch *amqp.Channel) error { return ch.Publish(missing, "k", false, false, amqp.Publishing{}) }},
		{406, declareAs(queue, true, nil)},
		{406, declareAs(queue, false, amqp.Table{"x-max-length": 5})},
		{406, func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(exchange, "fanout", true, false, false, false, nil)
		}},
		{406, func(ch *amqp.Channel) error { return ch.Ack(99, false) }},
		{403, declareAs("amq."+queue, false, nil)},
		{403, func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare("amq."+exchange, "direct", true, false, false, false, nil)
		}},
		{403, func(ch *amqp.Channel) error { return ch.QueueBind(queue, "k", "", false, nil) }},
		{405, passive(locked)},
		{405, consumeFrom(locked)},
	} {
		channelError(connection, test.code, test.action)
	}
	equal(count(ch, queue), 0)
}

func connectionErrors(r *run) {
	bystander := r.channel()
	queue := r.declared(bystander, "q", nil)
	connectionError(r, 540, func(ch *amqp.Channel) error { return ch.Qos(1, 10, false) })
	connectionError(r, 540, func(ch *amqp.Channel) error {
		return ch.Publish("", queue, false, true, amqp.Publishing{})
	})
	connectionError(r, 530, func(ch *amqp.Channel) error {
		must(ch.Consume(queue, "twice", false, false, false, false, nil))
		_, err := ch.Consume(queue, "twice", false, false, false, false, nil)
		return err
	})
	equal(count(bystander, queue), 0)
}

func login(r *run) {
	vhost, password := must(amqp.ParseURI(amqpURL)), must(amqp.ParseURI(amqpURL))
	vhost.Vhost, password.Password = "no-such-vhost", "wrong"
	_, err := r.dial(vhost.String(), amqp.Config{})
	equal(code(err), 530)
	_, err = r.dial(password.String(), amqp.Config{})
	equal(code(err), 403)
	r.connect()
}

func exclusiveConsumer(r *run) {
	connection := r.connect()
	ch := must(connection.Channel())
	queue := r.declared(ch, "q", nil)
	consumeAs := func(exclusive bool) func(*amqp.Channel) error {
		return func(ch *amqp.Channel) error {
			_, err := ch.Consume(queue, "", false, exclusive, false, false, nil)
			return err
		}
	}
	sole := consume(ch, queue, false, true)
	channelError(connection, 403, consumeAs(false))
	channelError(r.connect(), 403, consumeAs(false))
	check(ch.Cancel(sole.tag, false))
	shared := consume(ch, queue, false, false)
	channelError(connection, 403, consumeAs(true))
	publish(ch, "", queue, "m")
	equal(bodies(shared.take(1)), []string{"m"})
}
