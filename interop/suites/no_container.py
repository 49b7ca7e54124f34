"""A pytest plugin: tests that would start RabbitMQ in a container get the broker under test instead."""

import importlib
import os

import pytest
from yarl import URL


class Client:
    """Stands in for the suites' Docker client."""

    def __init__(self, _host=None):
        self.types = importlib.import_module("tests.docker_client")

    def run(self, _image, _ports, environment=None):
        ports = {"5672/tcp": int(os.environ["BROKER_PORT"]), "5671/tcp": int(os.environ["BROKER_TLS_PORT"])}
        return self.types.ContainerInfo(id="none", ports=ports, host="127.0.0.1")

    def kill(self, _id):
        pass

    remove = kill


def pytest_load_initial_conftests():
    module = importlib.import_module("tests.docker_client")
    module.DockerClient = Client
    module.check_docker_available = lambda: None


@pytest.fixture(scope="session")
def rabbitmq_container():
    return Client().run("", [])


@pytest.fixture(scope="session")
def amqp_direct_url(rabbitmq_container):
    return URL(f"amqp://guest:guest@127.0.0.1:{rabbitmq_container.ports['5672/tcp']}//")
