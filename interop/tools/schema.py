#!/usr/bin/env python3
"""schemathesis makes requests from /api/openapi.json, sound ones and others: none may be answered with 500, and none with a
status that the description does not name. Health checks answer 503 when they fail, and say so."""

import subprocess
import sys

from node import Node, main, venv

HOOKS = '''
import schemathesis

# Names of things that are there: half of the requests are about them.
KNOWN = {"vhost": "/", "queue": "q", "exchange": "amq.topic", "source": "amq.topic", "destination": "q", "user": "ada",
         "component": "shovel", "name": "n"}

@schemathesis.hook
def map_path_parameters(context, path_parameters):
    operation = context.operation
    if path_parameters and (operation.method.upper(), operation.path) != ("DELETE", "/api/vhosts/{vhost}"):
        for name, there in KNOWN.items():
            if name in path_parameters and len(str(path_parameters[name])) % 2 == 0:
                path_parameters[name] = there
    return path_parameters

@schemathesis.check
def no_server_error(ctx, response, case):
    allowed = response.status_code == 503 and "/health/checks/" in case.path
    if response.status_code >= 500 and not allowed:
        raise AssertionError(f"{case.method} {case.formatted_path}: {response.status_code} {response.text[:400]}")
'''


def check():
    python = venv("schemathesis")
    examples = sys.argv[1] if len(sys.argv) > 1 else "8"
    with Node() as node:
        node.api.put("/api/queues/%2F/q", {})
        node.api.put("/api/users/ada", {"password": "x", "tags": "management"})
        (node.folder / "hooks.py").write_text(HOOKS)
        command = [python, "-m", "schemathesis.cli", "run", f"{node.api.url}/api/openapi.json", "--auth", "guest:guest",
                   "--checks", "no_server_error,status_code_conformance", "--max-examples", examples, "--workers", "2",
                   "--request-timeout", "60", "--continue-on-failure", "--no-color", "--seed", "1",
                   # Whoever deletes the user that asks, or makes its password another one, asks no more.
                   "--exclude-path-regex", r"^/api/(users/bulk-delete|auth/hash_password/.*)$"]
        environment = {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(node.folder), "PATH": "/usr/bin:/bin", "HOME": str(node.folder)}
        done = subprocess.run(command, cwd=node.folder, env=environment, capture_output=True, text=True, timeout=1500)
        said = done.stdout + done.stderr
        if done.returncode != 0:
            raise AssertionError(said[-6000:])
        node.api.get("/api/overview")
        print("\n".join(said.splitlines()[-12:]))
        print("ok   schemathesis")


if __name__ == "__main__":
    main(check)
