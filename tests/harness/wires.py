"""A relay before each service, and what a worker has to be told to use them."""

import contextlib
import urllib.parse

from .cut import DatabaseProxy
from .proxy import Proxy
from .relay import Relay
from .stack import moved

SERVICES = ("kafka", "database", "redis")


class Wires:
    def __init__(self, world, watch=None, listen_on="127.0.0.1"):
        database, redis = (urllib.parse.urlparse(url) for url in (world.database.url, world.stack.redis_url))
        self.kafka = Proxy(world.stack.bootstrap, watch, listen_on=listen_on)
        self.database = DatabaseProxy(database.hostname, database.port, listen_on=listen_on)
        self.redis = Relay(redis.hostname, redis.port, listen_on=listen_on)
        self.settings = {
            "KAFKA_BOOTSTRAP": self.kafka.address,
            "DATABASE_URL": moved(world.database.url, self.database.address),
            "REDIS_URL": moved(world.stack.redis_url, self.redis.address),
        }

    def all(self):
        return [getattr(self, name) for name in SERVICES]

    def close(self):
        for each in self.all():
            each.close()


@contextlib.contextmanager
def wires(world, watch=None, listen_on="127.0.0.1"):
    """The worker must have ended before them, or it waits for what nobody carries: world.close ends it by a kill."""
    made = Wires(world, watch, listen_on)
    try:
        yield made
    finally:
        made.close()
