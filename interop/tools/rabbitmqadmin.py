#!/usr/bin/env python3
"""rabbitmqadmin, the first version (Python) and the second (Rust), each drive a full topology.

The first comes from Debian's package rabbitmq-server, which is downloaded and not installed; RABBITMQADMIN may hold another.
The second is the crate rabbitmqadmin: RABBITMQADMIN2, or `rabbitmqadmin` of the folder that `cargo install --root` made."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from node import CACHE, Missing, Node, equal, main, run


def first_version():
    given = os.environ.get("RABBITMQADMIN")
    if given:
        return [sys.executable, given]
    script = CACHE / "rabbitmqadmin"
    if not script.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            got = subprocess.run(["apt-get", "download", "rabbitmq-server"], cwd=folder, capture_output=True)
            packages = list(Path(folder).glob("*.deb"))
            if got.returncode != 0 or not packages:
                raise Missing("rabbitmqadmin, of Debian's package rabbitmq-server,")
            run(["dpkg-deb", "-x", packages[0], Path(folder) / "out"])
            found = next((Path(folder) / "out").rglob("cli/rabbitmqadmin"))
            script.write_bytes(found.read_bytes())
    return [sys.executable, str(script)]


def second_version():
    places = [os.environ.get("RABBITMQADMIN2"), CACHE / "rabbitmqadmin2" / "bin" / "rabbitmqadmin"]
    return [next((str(place) for place in places if place and Path(place).exists()), None)]


def drive_first(node, program):
    def admin(*words, vhost="/"):
        # Without a virtual host, export and import are of the whole broker.
        where = ["-V", vhost] if vhost else []
        return run([*program, "-H", "127.0.0.1", "-P", node.http, *where, *words])

    def listed(what, *columns, vhost="v1"):
        rows = json.loads(admin("-f", "raw_json", "list", what, *columns, vhost=vhost))
        return rows if columns == () else [tuple(row.get(column) for column in columns) for row in rows]

    admin("declare", "vhost", "name=v1")
    admin("declare", "user", "name=ada", "password=secret", "tags=management")
    for user in ("guest", "ada"):
        admin("declare", "permission", "vhost=v1", f"user={user}", "configure=.*", "write=.*", "read=.*")
    admin("declare", "exchange", "name=news", "type=topic", "durable=true", vhost="v1")
    admin("declare", "queue", "name=orders", "durable=true", 'arguments={"x-max-length":10}', vhost="v1")
    admin("declare", "queue", "name=votes", 'arguments={"x-queue-type":"quorum"}', vhost="v1")
    admin("declare", "binding", "source=news", "destination=orders", "routing_key=a.#", vhost="v1")
    admin("declare", "policy", "name=short", "pattern=^o", 'definition={"max-length":5}', "apply-to=queues", vhost="v1")
    admin("declare", "operator_policy", "name=ops", "pattern=^o", 'definition={"max-length":4}', vhost="v1")
    admin("declare", "parameter", "component=federation-upstream", "name=far", 'value={"uri":"amqp://far"}', vhost="v1")
    admin("declare", "vhost_limit", "vhost=v1", "name=max-queues", "value=9")
    equal(listed("queues", "name", "type", "messages"), [("orders", "classic", 0), ("votes", "quorum", 0)], "queues")
    bindings = listed("bindings", "source", "destination", "routing_key")
    if ("news", "orders", "a.#") not in bindings:
        raise AssertionError(f"bindings: {bindings}")
    for what in ("users", "vhosts", "permissions", "nodes", "exchanges", "policies", "operator_policies", "parameters",
                 "connections", "channels", "consumers", "vhost_limits"):
        listed(what)
    admin("show", "overview")
    for number in range(3):
        admin("publish", "exchange=news", "routing_key=a.b", f"payload=message {number}", 'properties={"delivery_mode":2}', vhost="v1")
    got = json.loads(admin("-f", "raw_json", "get", "queue=orders", "count=2", "ackmode=ack_requeue_false", vhost="v1"))
    equal([message["payload"] for message in got], ["message 0", "message 1"], "get")
    admin("purge", "queue", "name=orders", vhost="v1")
    equal(listed("queues", "name", "messages")[0], ("orders", 0), "purged")
    with tempfile.TemporaryDirectory() as folder:
        everything = Path(folder) / "all.json"
        admin("export", everything, vhost=None)
        if "orders" not in everything.read_text():
            raise AssertionError("the export has no queue")
        admin("import", everything, vhost=None)
    admin("delete", "binding", "source=news", "destination_type=queue", "destination=orders", "properties_key=a.%23", vhost="v1")
    for what, name in (("policy", "short"), ("operator_policy", "ops"), ("queue", "orders"), ("queue", "votes"), ("exchange", "news")):
        admin("delete", what, f"name={name}", vhost="v1")
    admin("delete", "parameter", "component=federation-upstream", "name=far", vhost="v1")
    admin("delete", "vhost_limit", "vhost=v1", "name=max-queues")
    admin("delete", "permission", "vhost=v1", "user=ada")
    admin("delete", "user", "name=ada")
    admin("delete", "vhost", "name=v1")
    print("ok   rabbitmqadmin, first version")


def drive_second(node, program):
    def admin(*words, vhost="/"):
        return run([*program, "--host", "127.0.0.1", "--port", node.http, "--vhost", vhost, "--non-interactive", *words])

    admin("vhosts", "declare", "--name", "v2")
    admin("users", "declare", "--name", "bob", "--password", "secret", "--tags", "management")
    admin("permissions", "declare", "--user", "bob", "--configure", ".*", "--read", ".*", "--write", ".*", vhost="v2")
    admin("exchanges", "declare", "--name", "news", "--type", "topic", "--durable", "true", vhost="v2")
    admin("queues", "declare", "--name", "orders", "--type", "classic", "--durable", "true", vhost="v2")
    admin("queues", "declare", "--name", "votes", "--type", "quorum", "--durable", "true", vhost="v2")
    admin("bindings", "declare", "--source", "news", "--destination-type", "queue", "--destination", "orders",
          "--routing-key", "a.#", vhost="v2")
    admin("policies", "declare", "--name", "short", "--pattern", "^o", "--apply-to", "queues", "--priority", "1",
          "--definition", '{"max-length":5}', vhost="v2")
    admin("operator_policies", "declare", "--name", "ops", "--pattern", "^o", "--apply-to", "queues", "--priority", "1",
          "--definition", '{"max-length":4}', vhost="v2")
    admin("vhost_limits", "declare", "--name", "max-queues", "--value", "9", vhost="v2")
    admin("user_limits", "declare", "--user", "bob", "--name", "max-channels", "--value", "9")
    admin("parameters", "set", "--component", "federation-upstream", "--name", "far", "--value", '{"uri":"amqp://far"}', vhost="v2")
    admin("global_parameters", "set", "--name", "colour", "--value", '{"sky":"blue"}')
    for what in ("nodes", "users", "vhosts", "permissions", "connections", "channels", "queues", "exchanges", "bindings",
                 "consumers", "parameters", "policies", "operator_policies", "vhost_limits", "user_limits", "feature_flags",
                 "deprecated_features", "deprecated_features_in_use"):
        admin("list", what, vhost="v2")
    name = node.api.get("/api/overview")["node"]
    for words in (("show", "overview"), ("show", "churn"), ("show", "memory_breakdown_in_bytes", "--node", name),
                  ("show", "memory_breakdown_in_percent", "--node", name), ("auth_attempts", "stats", "--node", name),
                  ("plugins", "list_all"), ("federation", "list_all_upstreams"), ("federation", "list_all_links"),
                  ("shovels", "list_all"), ("global_parameters", "list"), ("rebalance", "queues"),
                  ("health_check", "local_alarms"), ("health_check", "cluster_wide_alarms"),
                  ("health_check", "node_is_quorum_critical"),
                  ("health_check", "port_listener", "--port", str(node.amqp)),
                  ("health_check", "protocol_listener", "--protocol", "amqp")):
        admin(*words)
    admin("publish", "message", "--exchange", "news", "--routing-key", "a.b", "--payload", "one", vhost="v2")
    if "one" not in admin("get", "messages", "--queue", "orders", "--ack-mode", "ack_requeue_false", vhost="v2"):
        raise AssertionError("the message does not come back")
    admin("queues", "purge", "--name", "orders", vhost="v2")
    with tempfile.TemporaryDirectory() as folder:
        everything = Path(folder) / "all.json"
        admin("definitions", "export", "--file", everything)
        admin("definitions", "import", "--file", everything)
        admin("definitions", "export_from_vhost", "--file", everything, vhost="v2")
        admin("definitions", "import_into_vhost", "--file", everything, vhost="v2")
    admin("bindings", "delete", "--source", "news", "--destination-type", "queue", "--destination", "orders",
          "--routing-key", "a.#", vhost="v2")
    for what, name in (("policies", "short"), ("operator_policies", "ops"), ("queues", "orders"), ("queues", "votes"), ("exchanges", "news")):
        admin(what, "delete", "--name", name, vhost="v2")
    admin("users", "delete", "--name", "bob")
    admin("vhosts", "delete", "--name", "v2")
    print("ok   rabbitmqadmin, second version")


def check():
    second = second_version()
    with Node() as node:
        drive_first(node, first_version())
        if second[0]:
            drive_second(node, second)
        else:
            print("skip rabbitmqadmin, second version: not installed (cargo install rabbitmqadmin --root "
                  f"{CACHE / 'rabbitmqadmin2'})")


if __name__ == "__main__":
    main(check)
