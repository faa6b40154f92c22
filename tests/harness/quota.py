"""A quota of bytes a second for producers of one client.id, set by the one request of Kafka's protocol that neither the
program nor the Python client has (AlterClientQuotas, version 0)."""

import contextlib
import socket
import struct

ALTER_CLIENT_QUOTAS = 49
CLIENT = "interlock"


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def alter(bootstrap, client, rate):
    """`rate` None: there is no quota any more."""
    request = struct.pack(">hhi", ALTER_CLIENT_QUOTAS, 0, 1) + text("tests")
    request += struct.pack(">i", 1) + struct.pack(">i", 1) + text("client-id") + text(client)
    request += struct.pack(">i", 1) + text("producer_byte_rate") + struct.pack(">d?", rate or 0, rate is None)
    request += b"\0"  # not only validated
    host, port = bootstrap.split(",")[0].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = connection.makefile("rb").read(4 + 4 + 4 + 4 + 2)
    error, = struct.unpack(">h", answer[16:18])
    assert error == 0, f"the quota was refused with error {error}"


@contextlib.contextmanager
def quota(bootstrap, rate, client=CLIENT):
    alter(bootstrap, client, rate)
    try:
        yield
    finally:
        alter(bootstrap, client, None)
