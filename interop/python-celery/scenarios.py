"""The scenarios of ../README.md with Celery: real workers as processes, and this program as the caller."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

FOLDER = Path(tempfile.mkdtemp(prefix="interop-celery-"))
RPC, FILES = "rpc://", f"file://{FOLDER}"  # rpc:// has no chords
PREFIX = f"interop.celery.{os.getpid()}.{int(time.time() * 1000)}"
WAIT_S = 25  # of the 45 s that a scenario has


@contextlib.contextmanager
def application(scenario, results):
    """The application with a queue of its own, which is deleted afterwards."""
    os.environ.setdefault("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
    os.environ.update(NAME=f"{PREFIX}.{scenario}", FOLDER=str(FOLDER), RESULTS=results)
    import app
    try:
        yield app
    finally:
        with app.app.connection_for_write() as connection:
            connection.default_channel.queue_delete(app.NAME)
            connection.default_channel.exchange_delete(app.NAME)


@contextlib.contextmanager
def worker(name):
    """A worker process of the application, which is asked to end afterwards."""
    command = [sys.executable, "-B", "-m", "celery", "-A", "app", "worker", "--pool", "solo", "--loglevel", "INFO",
               "--hostname", f"{name}@{os.environ['NAME']}"]
    log = FOLDER / f"{os.environ['NAME']}.{name}.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def equal(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def celery_chain():
    with application("chain", RPC) as app, worker("one"):
        chain = app.add.s(1, 2) | app.flaky.s() | app.label.s("done")
        began = time.monotonic()
        equal(chain.apply_async().get(timeout=WAIT_S), [3, 2, "done"])
        assert time.monotonic() - began >= 2, "two retries a second apart took less than 2 s"
        due = time.time() + 1
        assert app.moment.apply_async(countdown=1).get(timeout=WAIT_S) >= due - 0.01, "ran before its time"


def celery_chord():
    from celery import chord
    with application("chord", FILES) as app, worker("one"), worker("two"):
        outcome = chord((app.add.s(i, i) for i in range(20)), app.total.s()).apply_async()
        equal(outcome.get(timeout=WAIT_S), 380)


def celery_killed():
    with application("killed", RPC) as app, worker("one"):
        outcome = app.killed.apply_async()
        running = FOLDER / "running"
        deadline = time.monotonic() + WAIT_S
        while not (running.exists() and running.read_text()):
            assert time.monotonic() < deadline, "the task never began"
            time.sleep(0.05)
        os.kill(int(running.read_text()), signal.SIGKILL)
        with worker("two"):
            equal(outcome.get(timeout=WAIT_S), True)


SCENARIOS = {"celery-chain": celery_chain, "celery-chord": celery_chord, "celery-killed": celery_killed}


def run(scenario):
    try:
        scenario()
        return "ok"
    except BaseException as error:
        lines = [step.lineno for step in traceback.extract_tb(error.__traceback__) if step.filename == __file__]
        for log in FOLDER.glob("*.log"):
            sys.stderr.write(f"{log.name}\n{log.read_text(errors='replace')[-2000:]}\n")
        return " ".join(f"FAIL line {lines[-1] if lines else '?'}: {error!r}".split())[:300]


def main():
    chosen = sys.argv[1:] or list(SCENARIOS)
    if len(chosen) > 1:  # each in a process of its own: there is one application a process
        codes = [subprocess.run([sys.executable, "-B", __file__, scenario]).returncode for scenario in chosen]
        sys.exit(max(codes))
    result = run(SCENARIOS[chosen[0]])
    print(chosen[0], result, flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    os._exit(1 if result.startswith("FAIL") else 0)


if __name__ == "__main__":
    main()
