// The calls of Terraform's RabbitMQ provider, with the client library it is made of: each resource is created, read, changed,
// read again as an import does, and deleted; then everything that lists is asked once, so that every member has the type that
// the library takes it for. KEDA's questions follow.
package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"reflect"

	rabbithole "github.com/michaelklishin/rabbit-hole/v3"
)

const vhost = "terraform/1"

var client *rabbithole.Client

func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func fail(format string, arguments ...any) {
	fmt.Printf("FAIL: "+format+"\n", arguments...)
	os.Exit(1)
}

func equal(got, wanted any, what string) {
	if !reflect.DeepEqual(got, wanted) {
		fail("%s: got %#v, wanted %#v", what, got, wanted)
	}
}

// done checks the status of a change.
func done(answer *http.Response, err error, status int, what string) {
	must(err, what)
	equal(answer.StatusCode, status, what)
}

// gone checks that something is not there any more: the provider then drops it from its state.
func gone(err error, what string) {
	fault, is := err.(rabbithole.ErrorResponse)
	if !is || fault.StatusCode != 404 {
		fail("%s is still there: %v", what, err)
	}
}

func vhosts() {
	answer, err := client.PutVhost(vhost, rabbithole.VhostSettings{Description: "one", DefaultQueueType: "quorum"})
	done(answer, err, 201, "vhost created")
	answer, err = client.PutVhost(vhost, rabbithole.VhostSettings{Description: "two", Tags: []string{"a"}, Tracing: true})
	done(answer, err, 204, "vhost changed")
	read, err := client.GetVhost(vhost)
	must(err, "vhost read")
	equal([]any{read.Name, read.Description, read.Tracing, []string(read.Tags)}, []any{vhost, "two", true, []string{"a"}}, "vhost")
	answer, err = client.PutVhostLimits(vhost, rabbithole.VhostLimitsValues{"max-queues": 50, "max-connections": 9})
	must(err, "vhost limits")
	limits, err := client.GetVhostLimits(vhost)
	must(err, "vhost limits read")
	equal(limits[0].Value, rabbithole.VhostLimitsValues{"max-queues": 50, "max-connections": 9}, "vhost limits")
	answer, err = client.DeleteVhostLimits(vhost, rabbithole.VhostLimits{"max-queues", "max-connections"})
	must(err, "vhost limits deleted")
	limits, err = client.GetVhostLimits(vhost)
	must(err, "vhost limits read")
	equal(len(limits), 0, "vhost limits left")
}

func users() {
	settings := rabbithole.UserSettings{Name: "ada", Password: "secret", Tags: rabbithole.UserTags{"management", "policymaker"}}
	answer, err := client.PutUser("ada", settings)
	done(answer, err, 201, "user created")
	settings.Password = "other"
	answer, err = client.PutUser("ada", settings)
	done(answer, err, 204, "user changed")
	read, err := client.GetUser("ada")
	must(err, "user read")
	equal([]any{read.Name, read.Tags}, []any{"ada", rabbithole.UserTags{"management", "policymaker"}}, "user")
	own, err := rabbithole.NewClient(client.Endpoint, "ada", "other")
	must(err, "client")
	who, err := own.Whoami()
	must(err, "whoami")
	equal(who.Name, "ada", "whoami")
	answer, err = client.PutUserLimits("ada", rabbithole.UserLimitsValues{"max-channels": 7})
	must(err, "user limits")
	limits, err := client.GetUserLimits("ada")
	must(err, "user limits read")
	equal(limits[0].Value, rabbithole.UserLimitsValues{"max-channels": 7}, "user limits")
	answer, err = client.DeleteUserLimits("ada", rabbithole.UserLimits{"max-channels"})
	must(err, "user limits deleted")

	permissions := rabbithole.Permissions{Configure: "^a", Write: ".*", Read: ""}
	answer, err = client.UpdatePermissionsIn(vhost, "ada", permissions)
	done(answer, err, 201, "permissions created")
	permissions.Configure = "^b"
	answer, err = client.UpdatePermissionsIn(vhost, "ada", permissions)
	done(answer, err, 204, "permissions changed")
	found, err := client.GetPermissionsIn(vhost, "ada")
	must(err, "permissions read")
	equal(found, rabbithole.PermissionInfo{User: "ada", Vhost: vhost, Configure: "^b", Write: ".*", Read: ""}, "permissions")
	topic := rabbithole.TopicPermissions{Exchange: "amq.topic", Write: "^a", Read: "^b"}
	answer, err = client.UpdateTopicPermissionsIn(vhost, "ada", topic)
	done(answer, err, 201, "topic permissions created")
	topics, err := client.GetTopicPermissionsIn(vhost, "ada")
	must(err, "topic permissions read")
	equal([]any{len(topics), topics[0].Exchange, topics[0].Write}, []any{1, "amq.topic", "^a"}, "topic permissions")
	answer, err = client.DeleteTopicPermissionsIn(vhost, "ada", "amq.topic")
	done(answer, err, 204, "topic permissions deleted")
	answer, err = client.ClearPermissionsIn(vhost, "ada")
	done(answer, err, 204, "permissions deleted")
	_, err = client.GetPermissionsIn(vhost, "ada")
	gone(err, "permissions")
	answer, err = client.DeleteUser("ada")
	done(answer, err, 204, "user deleted")
	_, err = client.GetUser("ada")
	gone(err, "user")
}

func topology() {
	exchange := rabbithole.ExchangeSettings{Type: "topic", Durable: true, Arguments: map[string]any{"alternate-exchange": "amq.fanout"}}
	answer, err := client.DeclareExchange(vhost, "news", exchange)
	done(answer, err, 201, "exchange created")
	answer, err = client.DeclareExchange(vhost, "news", exchange)
	done(answer, err, 204, "exchange declared again")
	read, err := client.GetExchange(vhost, "news")
	must(err, "exchange read")
	equal([]any{read.Type, read.Durable, bool(read.AutoDelete), read.Arguments["alternate-exchange"]}, []any{"topic", true, false, "amq.fanout"}, "exchange")

	queue := rabbithole.QueueSettings{Durable: true, Arguments: map[string]any{"x-message-ttl": 60000, "x-queue-type": "classic"}}
	answer, err = client.DeclareQueue(vhost, "orders", queue)
	done(answer, err, 201, "queue created")
	own, err := client.GetQueue(vhost, "orders")
	must(err, "queue read")
	equal([]any{own.Name, own.Durable, own.Arguments["x-message-ttl"], own.Arguments["x-queue-type"], own.Type}, []any{"orders", true, float64(60000), "classic", "classic"}, "queue")

	for _, binding := range []rabbithole.BindingInfo{
		{Source: "news", Destination: "orders", DestinationType: "queue", RoutingKey: "a.#/b", Arguments: map[string]any{}},
		{Source: "news", Destination: "orders", DestinationType: "queue", RoutingKey: "", Arguments: map[string]any{"n": 1}},
		{Source: "news", Destination: "amq.direct", DestinationType: "exchange", RoutingKey: "#", Arguments: map[string]any{}},
	} {
		answer, err = client.DeclareBinding(vhost, binding)
		done(answer, err, 201, "binding created")
		location, err := url.PathUnescape(answer.Header.Get("Location"))
		must(err, "location")
		// The provider reads the properties key from the list, by the key and the arguments.
		listed, err := client.ListBindingsIn(vhost)
		must(err, "bindings listed")
		found := rabbithole.BindingInfo{}
		for _, other := range listed {
			if other.Source == binding.Source && other.Destination == binding.Destination && other.RoutingKey == binding.RoutingKey {
				found = other
			}
		}
		if found.PropertiesKey == "" || location == "" {
			fail("a binding without a properties key: %#v, %q", found, location)
		}
		binding.PropertiesKey = found.PropertiesKey
		answer, err = client.DeleteBinding(vhost, binding)
		done(answer, err, 204, "binding deleted")
	}
	between, err := client.ListQueueBindingsBetween(vhost, "news", "orders")
	must(err, "bindings between")
	equal(len(between), 0, "bindings left")

	answer, err = client.PurgeQueue(vhost, "orders")
	done(answer, err, 204, "queue purged")
	answer, err = client.DeleteQueue(vhost, "orders", rabbithole.QueueDeleteOptions{IfEmpty: true, IfUnused: true})
	done(answer, err, 204, "queue deleted")
	_, err = client.GetQueue(vhost, "orders")
	gone(err, "queue")
	answer, err = client.DeleteExchange(vhost, "news")
	done(answer, err, 204, "exchange deleted")
	_, err = client.GetExchange(vhost, "news")
	gone(err, "exchange")
}

func policies() {
	policy := rabbithole.Policy{Vhost: vhost, Name: "short", Pattern: "^o", ApplyTo: "queues", Priority: 2, Definition: rabbithole.PolicyDefinition{"max-length": 5}}
	answer, err := client.PutPolicy(vhost, "short", policy)
	done(answer, err, 201, "policy created")
	policy.Definition["max-length"] = 6
	answer, err = client.PutPolicy(vhost, "short", policy)
	done(answer, err, 204, "policy changed")
	read, err := client.GetPolicy(vhost, "short")
	must(err, "policy read")
	policy.Definition["max-length"] = float64(6)
	equal(*read, policy, "policy")
	answer, err = client.DeletePolicy(vhost, "short")
	done(answer, err, 204, "policy deleted")
	_, err = client.GetPolicy(vhost, "short")
	gone(err, "policy")

	operator := rabbithole.OperatorPolicy{Vhost: vhost, Name: "ops", Pattern: "^o", ApplyTo: "queues", Definition: rabbithole.PolicyDefinition{"max-length": 5}}
	answer, err = client.PutOperatorPolicy(vhost, "ops", operator)
	done(answer, err, 201, "operator policy created")
	found, err := client.GetOperatorPolicy(vhost, "ops")
	must(err, "operator policy read")
	operator.Definition["max-length"] = float64(5)
	equal(*found, operator, "operator policy")
	answer, err = client.DeleteOperatorPolicy(vhost, "ops")
	done(answer, err, 204, "operator policy deleted")
}

// Parameters of plugins are kept as they are given, although no plugin runs.
func parameters() {
	upstream := rabbithole.FederationDefinition{Uri: rabbithole.URISet{"amqp://far"}, Expires: 1800000, AckMode: "on-confirm"}
	answer, err := client.PutFederationUpstream(vhost, "far", upstream)
	done(answer, err, 201, "upstream created")
	read, err := client.GetFederationUpstream(vhost, "far")
	must(err, "upstream read")
	equal(read.Definition, upstream, "upstream")
	answer, err = client.DeleteFederationUpstream(vhost, "far")
	done(answer, err, 204, "upstream deleted")
	shovel := rabbithole.ShovelDefinition{
		SourceURI: rabbithole.URISet{"amqp://"}, DestinationURI: rabbithole.URISet{"amqp://far"}, SourceQueue: "a", DestinationQueue: "b", AckMode: "on-confirm",
	}
	answer, err = client.DeclareShovel(vhost, "move", shovel)
	done(answer, err, 201, "shovel created")
	found, err := client.GetShovel(vhost, "move")
	must(err, "shovel read")
	equal([]any{found.Definition.SourceURI, found.Definition.SourceQueue, found.Definition.DestinationQueue}, []any{shovel.SourceURI, "a", "b"}, "shovel")
	answer, err = client.DeleteShovel(vhost, "move")
	done(answer, err, 204, "shovel deleted")
	_, err = client.PutGlobalParameter("colour", map[string]any{"sky": "blue"})
	must(err, "global parameter")
	global, err := client.GetGlobalParameter("colour")
	must(err, "global parameter read")
	equal(global.Value, any(map[string]any{"sky": "blue"}), "global parameter")
	answer, err = client.DeleteGlobalParameter("colour")
	done(answer, err, 204, "global parameter deleted")
}

// Everything that lists, with one of everything there.
func lists() {
	_, err := client.DeclareQueue(vhost, "listed", rabbithole.QueueSettings{Durable: true, Arguments: map[string]any{"x-queue-type": "quorum"}})
	must(err, "queue")
	published, err := client.PublishToExchange(vhost, "amq.default", rabbithole.PublishOptions{
		RoutingKey: "listed", Payload: "x", PayloadEncoding: "string", Properties: map[string]any{"delivery_mode": 2},
	})
	must(err, "published")
	equal(published.Routed, true, "routed")
	overview, err := client.Overview()
	must(err, "overview")
	if overview.RabbitMQVersion == "" || overview.ObjectTotals.Queues < 1 {
		fail("overview: %#v", overview)
	}
	nodes, err := client.ListNodes()
	must(err, "nodes")
	_, err = client.GetNode(nodes[0].Name)
	must(err, "node")
	_, err = client.ListDefinitions()
	must(err, "definitions")
	for what, list := range map[string]func() error{
		"vhosts":      func() error { _, err := client.ListVhosts(); return err },
		"users":       func() error { _, err := client.ListUsers(); return err },
		"queues":      func() error { _, err := client.ListQueues(); return err },
		"exchanges":   func() error { _, err := client.ListExchanges(); return err },
		"bindings":    func() error { _, err := client.ListBindings(); return err },
		"connections": func() error { _, err := client.ListConnections(); return err },
		"channels":    func() error { _, err := client.ListChannels(); return err },
		"consumers":   func() error { _, err := client.ListConsumers(); return err },
		"policies":    func() error { _, err := client.ListPolicies(); return err },
		"parameters":  func() error { _, err := client.ListRuntimeParameters(); return err },
		"features":    func() error { _, err := client.ListFeatureFlags(); return err },
		"links":       func() error { _, err := client.ListFederationLinks(); return err },
		"shovels":     func() error { _, err := client.ListShovelStatus(vhost); return err },
		"streams":     func() error { _, err := client.ListStreamConnections(); return err },
		"ports":       func() error { _, err := client.ProtocolPorts(); return err },
		"protocols":   func() error { _, err := client.EnabledProtocols(); return err },
		"permissions": func() error { _, err := client.ListPermissions(); return err },
		"alarms":      func() error { _, err := client.HealthCheckAlarms(); return err },
		"deprecated":  func() error { _, err := client.ListDeprecatedFeatures(); return err },
	} {
		must(list(), what)
	}
}

// What KEDA's scaler asks: a queue, and a page of those that match an expression.
func keda() {
	queue, err := client.GetQueue(vhost, "listed")
	must(err, "queue")
	equal([]any{queue.Messages, queue.MessagesUnacknowledged, queue.MessageStats.PublishDetails.Rate >= 0}, []any{1, 0, true}, "queue for KEDA")
	page, err := client.PagedListQueuesWithParametersIn(vhost, url.Values{
		"page": {"1"}, "use_regex": {"true"}, "pagination": {"false"}, "name": {"^list.*$"}, "page_size": {"100"},
	})
	must(err, "page")
	equal([]any{page.PageCount, len(page.Items), page.Items[0].Name, page.Items[0].Messages}, []any{1, 1, "listed", 1}, "page for KEDA")
}

func main() {
	var err error
	client, err = rabbithole.NewClient(os.Args[1], "guest", "guest")
	must(err, "client")
	vhosts()
	users()
	topology()
	policies()
	parameters()
	lists()
	keda()
	answer, err := client.DeleteVhost(vhost)
	done(answer, err, 204, "vhost deleted")
	_, err = client.GetVhost(vhost)
	gone(err, "vhost")
	fmt.Println("ok   vhost, limits, user, permissions, topic permissions, exchange, queue, binding, policies, parameters; lists; KEDA")
}
