"""A Warren with its management API and its figures, a client of the API, and the ends of a check."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "warren" / "tools"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or HERE.parent.parent / "target")
WARREN = os.environ.get("WARREN_BINARY") or str(TARGET / "release" / "warren")
READY_S = 60


class Missing(Exception):
    """A tool that is not installed: the check is skipped."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def quoted(name):
    return urllib.parse.quote(name, safe="")


def tool(name, *places):
    """The path of a program: of the environment (`PROMTOOL` for promtool), of PATH, of some places."""
    found = os.environ.get(name.upper().replace("-", "_")) or shutil.which(name)
    found = found or next((str(place) for place in places if Path(place).exists()), None)
    if not found:
        raise Missing(name)
    return found


def venv(*packages):
    """The Python of a virtual environment with these packages."""
    folder = CACHE / "-".join(["python", *packages])
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (folder / "done").touch()
    return str(python)


class Api:
    """A client of the management API of one user."""

    def __init__(self, url, user="guest", password="guest"):
        self.url, self.user, self.password = url, user, password
        self.headers = {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}

    def call(self, method, path, body=None):
        """Status and body, which is None when it is empty."""
        data = None if body is None else json.dumps(body).encode()
        headers = self.headers | ({"content-type": "application/json"} if data else {})
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        return status, json.loads(text) if text else None

    def get(self, path):
        status, body = self.call("GET", path)
        equal(status, 200, path)
        return body

    def put(self, path, body):
        status, answer = self.call("PUT", path, body)
        if status not in (201, 204):
            raise AssertionError(f"PUT {path}: {status} {answer}")


class Node:
    """A broker on free ports with a data directory of its own; `with Node() as node`."""

    def __init__(self, **environment):
        self.environment = environment

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="warren-tools-"))
        self.amqp, self.http, self.figures = free_port(), free_port(), free_port()
        environment = os.environ | {
            "WARREN_MANAGEMENT_ADDRESS": f"127.0.0.1:{self.http}",
            "WARREN_PROMETHEUS_ADDRESS": f"127.0.0.1:{self.figures}",
        } | self.environment
        self.log = open(self.folder / "log", "wb")
        command = [WARREN, "serve", "--data-dir", self.folder / "data", "--listen", f"127.0.0.1:{self.amqp}"]
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log,
                                        start_new_session=True)
        self.api = Api(f"http://127.0.0.1:{self.http}")
        try:
            until(lambda: self.answers(), READY_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the broker has ended:\n{self.output()}")
        try:
            return self.api.get("/api/whoami")
        except OSError:
            return None

    def output(self):
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    @property
    def url(self):
        return f"amqp://guest:guest@127.0.0.1:{self.amqp}/%2F"

    def __exit__(self, *_):
        end(self.process)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def end(process):
    """Ends a process that leads a group of its own, and the group."""
    for how, wait in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
        if process.poll() is None:
            try:
                os.killpg(process.pid, how)
                process.wait(wait)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass


def until(look, seconds):
    """Waits until something is so; returns it."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError("not in time")
        time.sleep(0.05)


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def run(command, **options):
    """Runs a program to its end; its output when it succeeds."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=900, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}"[-4000:])
    return done.stdout


def main(check):
    """Runs a check as a program: exit code 0 when it holds, 1 when it does not, 3 when a tool is missing."""
    try:
        check()
    except Missing as missing:
        print(f"skip: {missing} is not installed")
        sys.exit(3)
    except (AssertionError, subprocess.SubprocessError, OSError) as fault:
        print(f"FAIL: {fault}")
        sys.exit(1)
