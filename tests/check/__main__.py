"""Checks a stack that has come to rest, or waits until it has.

Services come from KAFKA_BOOTSTRAP and DATABASE_URL unless named. Findings are printed earliest first: the first line
is the first offending command, with its topic, partition and offset, and its aggregate. Exit 0: every invariant
holds; 1: one does not. Facts that could not be judged are named on standard error.
"""

import argparse
import json
import os
import sys
from decimal import Decimal

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from check import rest                                                   # noqa: E402
from check.evidence import Standing, gather, snapshot                    # noqa: E402
from check.invariants import Options, check                              # noqa: E402

CAPS = ("rss_mib", "descriptors", "threads", "connections")


def read_arguments():
    parser = argparse.ArgumentParser(prog="tests/check", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bootstrap", default=os.environ.get("KAFKA_BOOTSTRAP"))
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL"))
    parser.add_argument("--topics", default="interlock.commands", help="command topics, separated by commas")
    parser.add_argument("--audit-topic", default="interlock.audit")
    parser.add_argument("--group", default="interlock")
    parser.add_argument("--misrouted", action="store_true", help="commands were not keyed by their aggregate")
    parser.add_argument("--running", action="store_true", help="the pool still works: the topics' ends are not judged")
    parser.add_argument("--snapshot", metavar="FILE", help="only writes down the rows as they are before a run")
    parser.add_argument("--before", metavar="FILE", help="the file that --snapshot wrote")
    parser.add_argument("--within", type=float, metavar="SECONDS", help="I6: waits so long for everything to be done")
    parser.add_argument("--pid", type=int, action="append", default=[], help="I7: of a worker; several may be given")
    for name in CAPS:
        parser.add_argument(f"--max-{name.replace('_', '-')}", type=float, metavar="N", dest=name)
    arguments = parser.parse_args()
    if not arguments.database or not (arguments.bootstrap or arguments.snapshot):
        parser.error("set KAFKA_BOOTSTRAP and DATABASE_URL, or give --bootstrap and --database")
    if any(getattr(arguments, name) is not None for name in CAPS[:3]) and not arguments.pid:
        parser.error("--max-rss-mib, --max-descriptors and --max-threads are about processes: give --pid")
    arguments.topics = arguments.topics.split(",")
    return arguments


def write_snapshot(path, tables):
    with open(path, "w", encoding="utf-8") as out:
        json.dump(tables, out, default=lambda value: {"exact": str(value)})


def read_snapshot(path):
    with open(path, encoding="utf-8") as text:
        return json.load(text, object_hook=lambda each: Decimal(each["exact"]) if list(each) == ["exact"] else each)


def observe(arguments):
    """Waits if it is to, and looks at the processes meanwhile: (seconds waited, what they used)."""
    standing = Standing(arguments.bootstrap, arguments.database, arguments.topics, arguments.group)
    observer = rest.Observer(arguments.pid, standing.ask)
    waited = rest.await_rest(standing.is_at_rest, arguments.within or 0, observer.look)
    return waited, observer.usage()


def main():
    arguments = read_arguments()
    if arguments.snapshot:
        write_snapshot(arguments.snapshot, snapshot(arguments.database))
        return 0
    waited, usage = observe(arguments)
    before = read_snapshot(arguments.before) if arguments.before else None
    evidence = gather(arguments.bootstrap, arguments.database, arguments.topics, arguments.audit_topic, arguments.group,
                      before=before)
    evidence.waited, evidence.usage = waited, usage
    options = Options(ordered=not arguments.misrouted, drained=not arguments.running, within=arguments.within,
                      caps={name: getattr(arguments, name) for name in CAPS})
    violations = check(evidence, options)
    for violation in violations:
        print(violation)
    if evidence.commits is None:
        print(f"I5: the group's offsets were not judged: {evidence.commits_problem}", file=sys.stderr)
    if arguments.within is not None and waited is not None:
        print(f"at rest after {waited:.1f} s")
    print(f"{len(evidence.records)} messages, {len(evidence.events)} events, {len(evidence.inbox)} inbox rows, "
          f"{len(evidence.audit)} audit rows, {len(evidence.dead_letters)} dead letters: "
          f"{len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
