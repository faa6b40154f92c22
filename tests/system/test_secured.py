"""Kafka as installations have it, TLS, logins and rights: what a worker needs is named and is enough, and whoever is
turned away is told why, by every verb and by readiness."""

import pytest

from harness.broker import stack_with
from harness.commands import create_ticket
from harness.fixtures import finish
from harness.secured import SecuredBroker
from harness.waiting import until


@pytest.fixture(scope="module")
def secured():
    with SecuredBroker() as broker:
        yield broker


@pytest.fixture
def world(request, make_world, stack, secured):
    made = make_world(request.node.name.removeprefix("test_"), stack=stack_with(stack, secured.bootstrap))
    yield made
    finish(request, made)


# ---- who is turned away ----

def false_authority(secured):
    return secured.settings_of("worker", ssl_ca_location=secured.certificates.other_authority)


def false_host_name(secured):
    return {**secured.settings_of("worker"), "KAFKA_BOOTSTRAP": secured.sasl_by_name}


def false_password(secured):
    return secured.settings_of("worker", sasl_password="guessed")


def false_mechanism(secured):
    return secured.settings_of("worker", sasl_mechanisms="SCRAM-SHA-256")


def no_tls(secured):
    return secured.settings_of("worker", security_protocol="sasl_plaintext")


TURNED_AWAY = {
    false_authority: "certificate verify failed",
    false_host_name: "the certificate is not of this host name",
    false_password: "Invalid username or password",
    false_mechanism: "broker's supported mechanisms: PLAIN,SCRAM-SHA-512",
    no_tls: "might be caused by incorrect security.protocol configuration",
}


@pytest.mark.parametrize("fault", TURNED_AWAY, ids=lambda fault: fault.__name__)
def test_whoever_is_turned_away_is_told_why_and_by_whom(world, secured, fault):
    settings, reason = fault(secured), TURNED_AWAY[fault]
    address = settings["KAFKA_BOOTSTRAP"]
    worker = world.worker(ready=False, **settings)
    for verb, stdin in ((("check",), None), (("topics", "plan"), None), (("audit", "verify"), None),
                        (("publish",), create_ticket(1).value.decode())):
        done = world.verb(*verb, stdin=stdin, **settings)
        told = done.stdout + done.stderr
        assert done.returncode != 0 and reason in told and address in told, (verb, told)
    until("readiness says it", lambda: reason in worker.get("/readyz")[1] and address in worker.get("/readyz")[1])
    assert reason in worker.text()
