// Runs scenarios one by one: connections, names, clean-up, time limit, one line of result each.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const timeout = 20 * time.Second

var (
	amqpURL = env("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
	prefix  = fmt.Sprintf("interop.amqp091.%d.%d", os.Getpid(), time.Now().UnixMilli())
)

type scenario struct {
	id  string
	run func(*run)
}

// skip is the panic of a scenario that the library or the setting cannot run.
type skip string

// run holds one scenario's connections and names; everything is closed and deleted afterwards.
type run struct {
	prefix            string
	connections       []*amqp.Connection
	queues, exchanges []string
}

func (r *run) dial(url string, config amqp.Config) (*amqp.Connection, error) {
	connection, err := amqp.DialConfig(url, config)
	if err == nil {
		r.connections = append(r.connections, connection)
	}
	return connection, err
}

func (r *run) connect() *amqp.Connection { return must(r.dial(amqpURL, amqp.Config{})) }

func (r *run) channel() *amqp.Channel { return must(r.connect().Channel()) }

func (r *run) queue(name string) string {
	r.queues = append(r.queues, r.prefix+"."+name)
	return r.prefix + "." + name
}

func (r *run) exchange(ch *amqp.Channel, name, kind string) string {
	exchange := r.prefix + "." + name
	r.exchanges = append(r.exchanges, exchange)
	check(ch.ExchangeDeclare(exchange, kind, true, false, false, false, nil))
	return exchange
}

func (r *run) declared(ch *amqp.Channel, name string, args amqp.Table) string {
	return must(ch.QueueDeclare(r.queue(name), true, false, false, false, args)).Name
}

func (r *run) clean() {
	for _, connection := range r.connections {
		_ = connection.Close() // the broker may have closed it
	}
	connection := must(amqp.Dial(amqpURL))
	defer connection.Close()
	for _, queue := range r.queues {
		must(must(connection.Channel()).QueueDelete(queue, false, false, false))
	}
	for _, exchange := range r.exchanges {
		check(must(connection.Channel()).ExchangeDelete(exchange, false, false))
	}
}

// inbox is a consumer with the tag `tag`.
type inbox struct {
	tag        string
	deliveries <-chan amqp.Delivery
}

func consume(ch *amqp.Channel, queue string, autoAck, exclusive bool) inbox {
	tag := fmt.Sprintf("tag-%d", time.Now().UnixNano())
	return inbox{tag, must(ch.Consume(queue, tag, autoAck, exclusive, false, false, nil))}
}

// take returns the next `count` deliveries.
func (in inbox) take(count int) (got []amqp.Delivery) {
	late := time.After(8 * time.Second)
	for len(got) < count {
		select {
		case delivery, open := <-in.deliveries:
			if !open {
				panic("the consumer ended")
			}
			got = append(got, delivery)
		case <-late:
			panic(fmt.Sprintf("%d of %d deliveries came", len(got), count))
		}
	}
	return got
}

// arrived returns what comes within `wait`.
func (in inbox) arrived(wait time.Duration) (got []amqp.Delivery) {
	end := time.After(wait)
	for {
		select {
		case delivery, open := <-in.deliveries:
			if !open {
				return got
			}
			got = append(got, delivery)
		case <-end:
			return got
		}
	}
}

func bodies(deliveries []amqp.Delivery) (texts []string) {
	for _, delivery := range deliveries {
		texts = append(texts, string(delivery.Body))
	}
	return texts
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func equal(got, wanted any) {
	if !reflect.DeepEqual(got, wanted) {
		panic(fmt.Sprintf("got %v, wanted %v", got, wanted))
	}
}

func until(done func() bool) {
	for deadline := time.Now().Add(8 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			panic("waited in vain")
		}
	}
}

func receive[T any](from <-chan T) T {
	select {
	case value := <-from:
		return value
	case <-time.After(8 * time.Second):
		panic("waited in vain")
	}
}

func count(ch *amqp.Channel, queue string) int {
	return must(ch.QueueDeclarePassive(queue, true, false, false, false, nil)).Messages
}

func awaitCount(ch *amqp.Channel, queue string, wanted int) {
	until(func() bool { return count(ch, queue) == wanted })
}

func publish(ch *amqp.Channel, exchange, key, body string) {
	check(ch.Publish(exchange, key, false, false, amqp.Publishing{Body: []byte(body)}))
}

func publishConfirmed(ch *amqp.Channel, exchange, key, body string) {
	check(ch.Confirm(false))
	equal(must(ch.PublishWithDeferredConfirm(exchange, key, false, false, persistent([]byte(body)))).Wait(), true)
}

func send(ch *amqp.Channel, queue string, texts []string) {
	for _, text := range texts {
		publish(ch, "", queue, text)
	}
	awaitCount(ch, queue, len(texts))
}

func persistent(body []byte) amqp.Publishing {
	return amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}
}

func numbered(first, last int) (texts []string) {
	for i := first; i <= last; i++ {
		texts = append(texts, fmt.Sprintf("m%d", i))
	}
	return texts
}

func drain(ch *amqp.Channel, queue string) (texts []string) {
	for {
		delivery, ok, err := ch.Get(queue, true)
		check(err)
		if !ok {
			return texts
		}
		texts = append(texts, string(delivery.Body))
	}
}

func code(err error) int {
	var amqpError *amqp.Error
	if errors.As(err, &amqpError) {
		return amqpError.Code
	}
	return 0
}

// channelError requires `action` to close its channel with `wanted`, and only that channel.
func channelError(connection *amqp.Connection, wanted int, action func(*amqp.Channel) error) {
	ch := must(connection.Channel())
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	_ = action(ch) // the channel's own error is asserted
	equal(receive(closed).Code, wanted)
	equal(connection.IsClosed(), false)
	check(must(connection.Channel()).Close())
}

func connectionError(r *run, wanted int, action func(*amqp.Channel) error) {
	connection := r.connect()
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	_ = action(must(connection.Channel()))
	equal(receive(closed).Code, wanted)
}

func needsRestart() {
	if os.Getenv("RESTART_BROKER") == "" {
		panic(skip("RESTART_BROKER is not set"))
	}
}

func restartBroker() { check(exec.Command("sh", "-c", os.Getenv("RESTART_BROKER")).Run()) }

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// withinTimeout says "ok", "skip ..." or "FAIL ...".
func withinTimeout(action func()) string {
	done := make(chan string, 1)
	go func() {
		defer func() {
			switch reason := recover().(type) {
			case nil:
				done <- "ok"
			case skip:
				done <- "skip " + string(reason)
			default:
				done <- fmt.Sprintf("FAIL %s: %v", line(string(debug.Stack())), reason)
			}
		}()
		action()
	}()
	select {
	case result := <-done:
		return result
	case <-time.After(timeout):
		return "FAIL not done after 20 s"
	}
}

func line(stack string) string {
	_, rest, _ := strings.Cut(stack, "/scenarios")
	file, rest, _ := strings.Cut(rest, ".go:")
	number, _, _ := strings.Cut(rest, " ")
	return fmt.Sprintf("scenarios%s.go line %s", file, number)
}

func main() {
	failed := false
	for _, scenario := range scenarios {
		if !chosen(scenario.id) {
			continue
		}
		r := &run{prefix: prefix + "." + scenario.id}
		result := withinTimeout(func() { scenario.run(r) })
		if cleaned := withinTimeout(r.clean); result == "ok" && cleaned != "ok" {
			result = "FAIL cleaning up: " + cleaned
		}
		failed = failed || strings.HasPrefix(result, "FAIL")
		fmt.Println(scenario.id, strings.Join(strings.Fields(result), " "))
	}
	if failed {
		os.Exit(1)
	}
}

func chosen(id string) bool {
	for _, argument := range os.Args[1:] {
		if argument == id {
			return true
		}
	}
	return len(os.Args) == 1
}
