"""A broker as an installation has it: TLS, mutual TLS, SASL, and rights by Kafka's own authorizer."""

import subprocess

from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation, AclPermissionType, AdminClient,
                                   ResourcePatternType, ResourceType)

from .broker import PrivateBroker, free_ports
from .waiting import until

PASSWORDS = {name: f"{name}-secret" for name in ("worker", "publisher", "reader", "sweeper", "operator")}
OPERATIONS = {each.name.lower().replace("_", ""): each for each in AclOperation}
LINE_OPTIONS = {"--topic": ResourceType.TOPIC, "--group": ResourceType.GROUP,
                "--transactional-id": ResourceType.TRANSACTIONAL_ID}


def openssl(*words):
    done = subprocess.run(["openssl", *[str(each) for each in words]], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr


class Certificates:
    """Made for one run: an authority with a server and clients, and another authority that signed nothing here."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.authority, self.other_authority = self.make_authority("authority"), self.make_authority("other")
        self.make_signed("server", "subjectAltName=IP:127.0.0.1")

    def path(self, name):
        return self.folder / name

    def make_key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(f"{name}.key")]

    def make_authority(self, name):
        openssl("req", "-x509", *self.make_key(name), "-out", self.path(f"{name}.pem"), "-days", 2, "-subj",
                f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE")
        return self.path(f"{name}.pem")

    def make_signed(self, name, extension="subjectAltName=DNS:client"):
        """name.pem and name.key, and both in name.both.pem, as Kafka reads them."""
        request, extensions = self.path(f"{name}.request"), self.path(f"{name}.extensions")
        openssl("req", *self.make_key(name), "-out", request, "-subj", f"/CN={name}")
        extensions.write_text(extension + "\n", encoding="ascii")
        openssl("x509", "-req", "-in", request, "-CA", self.authority, "-CAkey", self.path("authority.key"),
                "-CAcreateserial", "-days", 2, "-extfile", extensions, "-out", self.path(f"{name}.pem"))
        both = self.path(f"{name}.key").read_text() + self.path(f"{name}.pem").read_text()
        self.path(f"{name}.both.pem").write_text(both, encoding="ascii")


class SecuredBroker(PrivateBroker):
    """`bootstrap` is in the clear, and whoever comes there may do everything: for the tests themselves. `sasl` takes
    PLAIN and SCRAM over TLS, `mutual` a client's certificate."""

    def __init__(self):
        super().__init__()
        sasl, mutual = free_ports(2)
        self.sasl, self.mutual = f"127.0.0.1:{sasl}", f"127.0.0.1:{mutual}"
        self.sasl_by_name = f"localhost:{sasl}"  # which the server's certificate does not have
        self.certificates = Certificates(self.folder / "certificates")
        self.certificates.make_signed("worker")
        users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
        login = "org.apache.kafka.common.security"
        both = f"SASL://{self.sasl},MUTUAL://{self.mutual}"
        self.settings.update({
            "listeners": f"{self.settings['listeners']},{both}",
            "advertised.listeners": f"{self.settings['advertised.listeners']},{both}",
            "listener.security.protocol.map":
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.certificates.path("server.both.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.certificates.authority,
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.sasl.plain.sasl.jaas.config": f"{login}.plain.PlainLoginModule required {users};",
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
        })

    def __enter__(self):
        super().__enter__()
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        return self

    def format_words(self):
        return ["--add-scram", f"SCRAM-SHA-512=[name=worker,password={PASSWORDS['worker']}]"]

    # ---- clients ----

    def settings_of(self, user, kinds=("consumer", "producer"), **others):
        """Settings of Interlock for a user who logs in by PLAIN over TLS; `others`: librdkafka's names with _."""
        pairs = {"security_protocol": "sasl_ssl", "sasl_mechanisms": "PLAIN", "sasl_username": user,
                 "sasl_password": PASSWORDS[user], "ssl_ca_location": self.certificates.authority, **others}
        return {"KAFKA_BOOTSTRAP": self.sasl, **self.pairs(kinds, pairs)}

    def settings_of_certificate(self, user, kinds=("consumer", "producer")):
        return {"KAFKA_BOOTSTRAP": self.mutual, **self.pairs(kinds, {
            "security_protocol": "ssl", "ssl_ca_location": self.certificates.authority,
            "ssl_certificate_location": self.certificates.path(f"{user}.pem"),
            "ssl_key_location": self.certificates.path(f"{user}.key")})}

    @staticmethod
    def pairs(kinds, pairs):
        return {f"kafka_{kind}_{name}": value for kind in kinds for name, value in pairs.items() if value is not None}

    def client(self, user, **others):
        """Of a stock client."""
        return {"bootstrap.servers": self.sasl, "security.protocol": "sasl_ssl", "sasl.mechanisms": "PLAIN",
                "sasl.username": user, "sasl.password": PASSWORDS[user],
                "ssl.ca.location": str(self.certificates.authority), "log_level": 0, **others}

    # ---- rights ----

    def tool(self, name, *words):
        """One of Kafka's own, by its class."""
        return subprocess.run(self.java(name, *words), capture_output=True, text=True, timeout=60, check=False,
                              stdin=subprocess.DEVNULL)

    @staticmethod
    def binding(line, user, of=AclBinding):
        """A line of kafka-acls.sh, for another user. A filter (`of`) finds what the line gave."""
        words = line.split()
        option = next(each for each in LINE_OPTIONS if each in words)
        pattern = (words[words.index("--resource-pattern-type") + 1].upper()
                   if "--resource-pattern-type" in words else "LITERAL")
        return of(LINE_OPTIONS[option], words[words.index(option) + 1].strip("'"), ResourcePatternType[pattern],
                  f"User:{user}", "*", OPERATIONS[words[words.index("--operation") + 1].lower()],
                  AclPermissionType.ALLOW)

    def allow(self, user, *lines):
        for future in self.admin.create_acls([self.binding(each, user) for each in lines]).values():
            future.result(30)

    def take(self, user, *lines):
        for line in lines:
            wanted = self.binding(line, user, AclBindingFilter)
            for future in self.admin.delete_acls([wanted]).values():
                assert future.result(30), f"{user} did not have: {line}"

    def forbid_everything(self):
        everything = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY,
                                      AclPermissionType.ANY)
        for future in self.admin.delete_acls([everything]).values():
            future.result(30)
        until("nobody has a right", lambda: not self.admin.describe_acls(everything).result(30), 30)
