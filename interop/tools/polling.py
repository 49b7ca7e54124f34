#!/usr/bin/env python3
"""The broker's CPU time a message, without and with a management API that is polled every second, beside 1 000 queues.

    interop/tools/polling.py [--rate 50000] [--seconds 20] [--queues 1000] [--rounds 3]

The rate is fixed, so that both loads are the same; the broker's own CPU time is what the system says of its process. One in
four polls asks for everything, the others for what dashboards and scalers ask. A figure of the release build: opt-level 3."""

import argparse
import json
import os
import statistics
import subprocess
import threading
import urllib.request

from node import WARREN, Node, main

ASKED = ("/api/overview", "/api/queues?page=1&page_size=100", "/api/nodes", "/api/connections", "/api/queues/%2F/q-000001")
WHOLE = ("/api/queues", "/api/channels", "/api/exchanges")


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def poll(node, stop):
    turn = 0
    while not stop.wait(1.0):
        for path in ASKED + (WHOLE if turn % 4 == 0 else ()):
            node.api.get(path)
        with urllib.request.urlopen(f"http://127.0.0.1:{node.figures}/metrics", timeout=30) as answer:
            answer.read()
        turn += 1


def load(node, arguments, polled):
    """Microseconds of the broker's CPU time a message."""
    stop, poller = threading.Event(), None
    if polled:
        poller = threading.Thread(target=poll, args=(node, stop))
        poller.start()
    before = cpu_seconds(node.process.pid)
    done = subprocess.run([WARREN, "perf", "--url", node.url, "--rate", str(arguments.rate), "--time", str(arguments.seconds),
                           "--size", "256", "--json"], capture_output=True, text=True, timeout=600)
    spent = cpu_seconds(node.process.pid) - before
    stop.set()
    if poller:
        poller.join()
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    messages = arguments.rate * arguments.seconds
    return spent * 1e6 / messages


def check():
    parser = argparse.ArgumentParser()
    for name, value in (("rate", 50_000), ("seconds", 20), ("queues", 1000), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    quiet, polled = [], []
    with Node() as node:
        queues = [{"vhost": "/", "name": f"q-{number:06}", "durable": True, "arguments": {}} for number in range(arguments.queues)]
        node.api.call("POST", "/api/definitions", {"queues": queues})
        load(node, argparse.Namespace(**(vars(arguments) | {"seconds": 3})), False)
        for _ in range(arguments.rounds):
            quiet.append(load(node, arguments, False))
            polled.append(load(node, arguments, True))
    shown = lambda figures: " ".join(f"{figure:.3f}" for figure in figures)
    print(f"     µs a message, API quiet:  {shown(quiet)}")
    print(f"     µs a message, API polled: {shown(polled)}")
    print(f"ok   median {statistics.median(quiet):.3f} -> {statistics.median(polled):.3f} µs")


if __name__ == "__main__":
    main(check)
