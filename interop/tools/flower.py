#!/usr/bin/env python3
"""Celery's Flower shows the queues of its broker by the management API: three tasks that nobody takes are three messages."""

import html
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from node import Node, end, equal, free_port, main, run, until, venv

APP = "import os\nfrom celery import Celery\napp = Celery('app', broker=os.environ['AMQP_URL'])\n"


def check():
    python = venv("celery", "flower")
    with Node() as node:
        (node.folder / "app.py").write_text(APP)
        environment = os.environ | {"AMQP_URL": node.url, "FLOWER_UNAUTHENTICATED_API": "true", "PYTHONDONTWRITEBYTECODE": "1"}
        send = "from app import app\n[app.send_task('app.nothing') for _ in range(3)]"
        run([python, "-c", send], cwd=node.folder, env=environment)
        port = free_port()
        command = [python, "-m", "celery", "-A", "app", "flower", "--address=127.0.0.1", f"--port={port}",
                   f"--broker-api=http://guest:guest@127.0.0.1:{node.http}/api/"]
        with open(node.folder / "flower.log", "wb") as log:
            flower = subprocess.Popen(command, cwd=node.folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            def shown():
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/broker", timeout=20) as answer:
                        page = html.unescape(answer.read().decode())
                except OSError:
                    return None
                row = re.search(r"<tr[^>]*>\s*<td[^>]*>\s*celery\s*</td>(.*?)</tr>", page, re.S)
                return row and re.findall(r"<td[^>]*>\s*(.*?)\s*</td>", row.group(1), re.S)

            try:
                cells = until(shown, 60)
            except AssertionError:
                raise AssertionError("Flower shows no queue:\n" + (node.folder / "flower.log").read_text()[-2000:])
            # Messages, unacked, ready, consumers, idle since.
            equal(cells[:4], ["3", "0", "3", "0"], "messages, unacked, ready, consumers")
            print(f"ok   Flower: queue celery, 3 messages, idle since {cells[4]!r}")
        finally:
            end(flower)


if __name__ == "__main__":
    main(check)
