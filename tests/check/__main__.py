"""Checks a stack that has come to rest.

Services come from KAFKA_BOOTSTRAP and DATABASE_URL unless named. Exit 0: every invariant holds; 1: one does not.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from check.evidence import gather                  # noqa: E402
from check.invariants import Options, check        # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="tests/check", description=__doc__.split("\n")[0])
    parser.add_argument("--bootstrap", default=os.environ.get("KAFKA_BOOTSTRAP"))
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL"))
    parser.add_argument("--topics", default="interlock.commands", help="command topics, separated by commas")
    parser.add_argument("--audit-topic", default="interlock.audit")
    parser.add_argument("--group", default="interlock")
    parser.add_argument("--misrouted", action="store_true", help="commands were not keyed by their aggregate")
    parser.add_argument("--running", action="store_true", help="the pool still works: the topics' ends are not judged")
    arguments = parser.parse_args()
    if not arguments.bootstrap or not arguments.database:
        parser.error("set KAFKA_BOOTSTRAP and DATABASE_URL, or give --bootstrap and --database")
    evidence = gather(arguments.bootstrap, arguments.database, arguments.topics.split(","), arguments.audit_topic,
                      arguments.group)
    violations = check(evidence, Options(ordered=not arguments.misrouted, drained=not arguments.running))
    for violation in violations:
        print(violation)
    print(f"{len(evidence.records)} messages, {len(evidence.events)} events, {len(evidence.inbox)} inbox rows, "
          f"{len(evidence.audit)} audit rows, {len(evidence.dead_letters)} dead letters: "
          f"{len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
