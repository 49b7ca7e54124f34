#!/usr/bin/env python3
"""A real Prometheus with Warren as its target: promtool reads every scrape, and every query of RabbitMQ's overview dashboard
(`queries.json`) gives data, or is listed with the reason why a single node cannot fill its panel.

Debian has both programs in the package prometheus. PROMETHEUS and PROMTOOL may hold other paths."""

import json
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

from node import HERE, WARREN, Node, end, free_port, main, tool, until

CONFIG = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs:
  - job_name: rabbitmq
    static_configs:
      - targets: ['127.0.0.1:%d']
        labels: {namespace: default}
"""


FAMILIES = (
    "connection_churn_metrics", "node_coarse_metrics", "node_metrics", "node_persister_metrics", "auth_attempt_metrics",
    "auth_attempt_detailed_metrics", "queue_coarse_metrics", "queue_consumer_count", "queue_metrics",
    "queue_delivery_metrics", "queue_exchange_metrics", "exchange_metrics", "channel_metrics",
    "channel_exchange_metrics", "channel_queue_metrics", "channel_queue_exchange_metrics", "channel_process_metrics",
    "connection_coarse_metrics", "connection_metrics", "ra_metrics", "stream_consumer_metrics", "vhost_status",
    "exchange_names", "exchange_bindings")


# RabbitMQ's name for a gauge: promtool wants no `_count` there.
DISLIKED = "rabbitmq_unreachable_cluster_peers_count "


def scrape(node, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{node.figures}{path}", timeout=30) as answer:
        return answer.read()


def lint(node, promtool):
    """promtool's verdict on what is scraped."""
    families = [f"family={family}" for family in FAMILIES]
    each = [f"/metrics/detailed?{family}" for family in families]
    for path in ("/metrics", "/metrics/per-object", *each, "/metrics/detailed?" + "&".join(families),
                 "/metrics/memory-breakdown"):
        found = subprocess.run([promtool, "check", "metrics"], input=scrape(node, path), capture_output=True, timeout=60)
        said = (found.stdout + found.stderr).decode().splitlines()
        # 3: it only dislikes a name.
        worse = [line for line in said if not line.startswith(DISLIKED)]
        if found.returncode not in (0, 3) or worse:
            raise AssertionError(f"promtool check metrics, {path}: {found.returncode}\n" + "\n".join(worse))
        what = path if path.count("family=") < 2 else "/metrics/detailed, all families"
        print(f"ok   promtool check metrics  {what}")


def dashboard(prometheus):
    queries = json.loads((HERE / "queries.json").read_text())
    empty = 0
    for panel, query, reason in ((entry["panel"], entry["query"], entry.get("empty")) for entry in queries):
        asked = query.replace("$namespace", "default").replace("$rabbitmq_cluster", "warren").replace(
            "$endpoint", "aggregated")
        url = f"{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": asked})
        with urllib.request.urlopen(url, timeout=30) as answer:
            result = json.load(answer)["data"]["result"]
        values = [value for value in result if value["value"][1] != "NaN"]
        if values and not reason:
            print(f"ok   {panel}: {values[0]['value'][1]}")
        elif not values and reason:
            print(f"none {panel}: {reason}")
        else:
            empty += 1
            print(f"FAIL {panel}: {result}\n     {asked}")
    if empty:
        raise AssertionError(f"{empty} of {len(queries)} queries")
    print(f"ok   {len(queries)} queries")


def check():
    program, promtool = tool("prometheus"), tool("promtool")
    with Node() as node, tempfile.TemporaryDirectory() as folder:
        load = subprocess.Popen([WARREN, "perf", "--url", node.url, "--rate", "100", "--time", "20"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        port = free_port()
        config = Path(folder) / "prometheus.yml"
        config.write_text(CONFIG % node.figures)
        server = subprocess.Popen(
            [program, f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"], start_new_session=True)
        try:
            prometheus = f"http://127.0.0.1:{port}"

            def scraped():
                try:
                    query = urllib.parse.urlencode({"query": "count_over_time(up{job='rabbitmq'}[1m])"})
                    with urllib.request.urlopen(f"{prometheus}/api/v1/query?{query}", timeout=5) as answer:
                        result = json.load(answer)["data"]["result"]
                        return result and float(result[0]["value"][1]) >= 6
                except OSError:
                    return False

            until(scraped, 60)
            lint(node, promtool)
            dashboard(prometheus)
        finally:
            end(server)
            end(load)


if __name__ == "__main__":
    main(check)
