#!/usr/bin/env python3
"""Definitions go from Warren to a real RabbitMQ and back, and 100 000 queues are imported.

RabbitMQ is Debian's package rabbitmq-server, unpacked, beside an installed Erlang (package erlang-base and what it needs);
RABBITMQ_HOME may hold another installation (a folder with sbin)."""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from node import CACHE, Api, Missing, Node, end, equal, free_port, main, run, tool, until

LISTS = {
    "vhosts": ("name",), "users": ("name",), "permissions": ("user", "vhost"), "topic_permissions": ("user", "vhost", "exchange"),
    "parameters": ("vhost", "component", "name"), "global_parameters": ("name",), "policies": ("vhost", "name"),
    "queues": ("vhost", "name"), "exchanges": ("vhost", "name"),
    "bindings": ("vhost", "source", "destination", "routing_key"),
}


def rabbitmq_home():
    given = os.environ.get("RABBITMQ_HOME")
    if given:
        return Path(given)
    tool("erl")
    folder = CACHE / "rabbitmq-server"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        got = subprocess.run(["apt-get", "download", "rabbitmq-server"], cwd=CACHE, capture_output=True)
        packages = list(CACHE.glob("rabbitmq-server_*.deb"))
        if got.returncode != 0 or not packages:
            raise Missing("Debian's package rabbitmq-server")
        run(["dpkg-deb", "-x", packages[0], folder])
    return next(folder.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*"))


class Rabbit:
    """A RabbitMQ with its management plugin on free ports."""

    def __init__(self, home, folder):
        self.home, self.folder = home, folder

    def __enter__(self):
        self.amqp, self.http, self.distribution, self.names = (free_port() for _ in range(4))
        self.folder.mkdir()
        (self.folder / "plugins").write_text("[rabbitmq_management].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.amqp}\nmanagement.tcp.ip = 127.0.0.1\n"
            f"management.tcp.port = {self.http}\nloopback_users.guest = false\nlog.console = true\nlog.file = false\n")
        environment = os.environ | {
            "HOME": str(self.folder), "RABBITMQ_NODENAME": f"tools{self.amqp}@localhost", "RABBITMQ_BASE": str(self.folder),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"), "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"), "RABBITMQ_DIST_PORT": str(self.distribution),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"), "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "ERL_EPMD_PORT": str(self.names), "RABBITMQ_FEATURE_FLAGS_FILE": str(self.folder / "flags"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder / "generated"), "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_QUORUM_DIR": str(self.folder / "quorum"), "RABBITMQ_STREAM_DIR": str(self.folder / "stream"),
        }
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen([self.home / "sbin" / "rabbitmq-server"], env=environment, stdout=self.log,
                                        stderr=self.log, start_new_session=True)
        self.api = Api(f"http://127.0.0.1:{self.http}")

        def answers():
            if self.process.poll() is not None:
                raise AssertionError("RabbitMQ has ended:\n" + (self.folder / "log").read_text(errors="replace")[-3000:])
            try:
                return self.api.call("GET", "/api/overview")[0] == 200
            except OSError:
                return False

        try:
            until(answers, 120)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        end(self.process)
        # Erlang's server of names, which it has started on a port of its own, outlives it.
        subprocess.run(["epmd", "-port", str(self.names), "-kill"], capture_output=True)
        self.log.close()


def fill(api):
    """One of everything, of what both know."""
    for path, body in (
        ("/api/vhosts/made%2Fhere", {"description": "d", "tags": "a,b"}),
        ("/api/users/ada", {"password": "secret", "tags": "monitoring"}),
        ("/api/users/bob", {"password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", "tags": ""}),
        ("/api/permissions/made%2Fhere/ada", {"configure": "^a", "write": ".*", "read": ""}),
        ("/api/topic-permissions/made%2Fhere/ada", {"exchange": "amq.topic", "write": "^a", "read": ".*"}),
        ("/api/permissions/made%2Fhere/guest", {"configure": ".*", "write": ".*", "read": ".*"}),
        ("/api/exchanges/made%2Fhere/news", {"type": "topic", "durable": True, "arguments": {"alternate-exchange": "amq.fanout"}}),
        ("/api/queues/made%2Fhere/orders", {"durable": True, "arguments": {"x-max-length": 7, "x-message-ttl": 60000, "x-queue-type": "classic"}}),
        ("/api/queues/made%2Fhere/votes", {"durable": True, "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 5}}),
        ("/api/policies/made%2Fhere/short", {"pattern": "^o", "definition": {"max-length": 5}, "apply-to": "queues", "priority": 3}),
        ("/api/operator-policies/made%2Fhere/ops", {"pattern": "^o", "definition": {"max-length": 4}, "apply-to": "queues"}),
        ("/api/vhost-limits/made%2Fhere/max-queues", {"value": 99}),
        ("/api/user-limits/ada/max-channels", {"value": 9}),
        ("/api/global-parameters/colour", {"value": {"sky": "blue"}}),
    ):
        api.put(path, body)
    for path, body in (("/api/bindings/made%2Fhere/e/news/q/orders", {"routing_key": "a.#", "arguments": {"n": 1, "s": "x"}}),
                       ("/api/bindings/made%2Fhere/e/news/e/amq.direct", {"routing_key": "k"})):
        equal(api.call("POST", path, body)[0], 201, path)


def comparable(definitions):
    """What two exports must agree on: everything but hashes' salts, what brokers say of themselves, and their own parameters."""
    shown = {}
    for what, keys in LISTS.items():
        for found in definitions.get(what, []):
            entry = json.loads(json.dumps(found))
            if what == "global_parameters" and found["name"] in ("cluster_name", "internal_cluster_id", "cluster_tags"):
                continue
            if what == "vhosts":
                entry = {"name": found["name"]}  # RabbitMQ 3.10 knows no more of one
            if what == "users":
                entry["tags"] = found["tags"] if isinstance(found["tags"], list) else [tag for tag in found["tags"].split(",") if tag]
                entry.setdefault("limits", {})
            for empty in ("limits", "metadata", "type"):
                if what in ("queues", "vhosts"):
                    entry.pop(empty, None)
            shown[(what, *(found[key] for key in keys))] = entry
    return shown


def differences(one, other):
    for key in sorted(set(one) | set(other), key=str):
        if one.get(key) != other.get(key):
            yield f"{key}: {one.get(key)} / {other.get(key)}"


def without_type(shown):
    """RabbitMQ 3.10 exports no queue type that was not asked for."""
    for key, entry in shown.items():
        if key[0] == "queues" and entry["arguments"].get("x-queue-type") == "classic":
            entry["arguments"].pop("x-queue-type")
    return shown


def round_trip():
    home = rabbitmq_home()
    # RabbitMQ knows these hashes only.
    with Node(WARREN_AUTH_PASSWORD_HASHING="sha256") as node, Rabbit(home, node.folder / "rabbit") as rabbit:
        fill(node.api)
        ours = node.api.get("/api/definitions")
        equal(rabbit.api.call("POST", "/api/definitions", ours)[0] in (200, 201, 204), True, "RabbitMQ imports our definitions")
        theirs = rabbit.api.get("/api/definitions")
        wrong = list(differences(without_type(comparable(ours)), without_type(comparable(theirs))))
        if wrong:
            raise AssertionError("RabbitMQ has made something else of our definitions:\n" + "\n".join(wrong))
        equal(Api(rabbit.api.url, "ada", "secret").call("GET", "/api/whoami")[0], 200, "ada logs in at RabbitMQ")
        print(f"ok   Warren's definitions are in RabbitMQ {theirs['rabbit_version']}: {len(comparable(ours))} objects")
        with Node() as other:
            status, answer = other.api.call("POST", "/api/definitions", theirs)
            equal(status, 204, f"Warren imports RabbitMQ's definitions: {answer}")
            again = other.api.get("/api/definitions")
            wrong = list(differences(without_type(comparable(theirs)), without_type(comparable(again))))
            if wrong:
                raise AssertionError("Warren has made something else of RabbitMQ's definitions:\n" + "\n".join(wrong))
            equal(Api(other.api.url, "ada", "secret").call("GET", "/api/whoami")[0], 200, "ada logs in at Warren")
            print("ok   and RabbitMQ's are in Warren")


def many(count):
    queues = [{"vhost": "/", "name": f"queue-{number:06}", "durable": True, "auto_delete": False, "arguments": {}}
              for number in range(count)]
    with Node() as node:
        def timed(what, *asked):
            begun = time.monotonic()
            status, answer = node.api.call(*asked)
            took = time.monotonic() - begun
            if status not in (200, 204):
                raise AssertionError(f"{what}: {status} {answer}")
            print(f"     {what}: {took * 1000:.0f} ms")
            return took, answer

        took, _ = timed(f"import of {count} queues", "POST", "/api/definitions", {"queues": queues})
        timed("the same again", "POST", "/api/definitions", {"queues": queues})
        timed("page 1 of 100", "GET", "/api/queues?page=1&page_size=100")
        timed("page 900 of 100", "GET", f"/api/queues?page={count // 100 - 100}&page_size=100")
        timed("page 1 of those that match", "GET", "/api/queues?page=1&page_size=100&use_regex=true&name=queue-0999..")
        timed("page 1, sorted by messages", "GET", "/api/queues?page=1&page_size=100&sort=messages&sort_reverse=true")
        timed("page 1 of an empty list", "GET", "/api/queues?page=1&page_size=1&name=none")
        timed("overview", "GET", "/api/overview")
        if took > 10:
            raise AssertionError(f"the import took {took:.1f} s")
        print(f"ok   {count} queues in {took:.1f} s")


def check():
    many(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    round_trip()


if __name__ == "__main__":
    main(check)
