"""I5, zombies fenced: of what a former owner of a partition still did, nothing stands.

In PostgreSQL: a takeover waits for the batches under the fence before it, so in a partition no row is written under a
lower fence than one that was there already; by the clock, and, which no clock can blur, by the versions of an
aggregate.
In Kafka: the group's commits of a partition do not go back. A commit that does is not explained by offsets that may be
moved, but by one that was, by somebody who is no worker: a plain commit among transactions (workers of such a group
commit in transactions alone); among plain ones, the rewind that the next owner wrote down, or that there was none
since; and after a topic was created again, that the offsets were forgotten between the two.
A broker that crashed and is alone may answer with offsets older than commits that it acknowledged, though its log has
them (Kafka 4.3.1: a coordinator serves while it is still being loaded, or keeps what it had loaded when a load failed).
Where the run had such a crash, a commit that goes back is explained by the owner's own record: it is the first one under
its fence, which is above all before, and the owner had written down, before it read on, that it found the offsets gone
back.
"""

from collections import defaultdict

from .envelope import identity_uuid
from .violation import About, Violation, about_row

# changed_at may run ahead of the clock by a microsecond for each command of one aggregate in a batch.
AHEAD_US = 10_000
KINDS = {"audit": "audit row", "inbox": "inbox row", "dead": "dead letter row", "parked": "parked command"}


def fenced(evidence, options):
    yield from tokens_were_given(evidence)
    yield from fences_rise_in_time(evidence)
    yield from fences_rise_with_versions(evidence)
    yield from one_fence_a_command(evidence)
    for place, commits in by_partition(evidence.commits or []).items():
        rewinds = [row for row in evidence.rewinds if place_of(row) == place]
        yield from commits_rise(place, commits, rewinds, options)
        yield from published_was_committed(evidence, place, commits)


def place_of(row):
    return (row["topic"], row["partition"])


# ---- rows ----------------------------------------------------------------------------------------------------

def tokens_were_given(evidence):
    given = {place_of(owner): owner["fence"] for owner in evidence.owners}
    for kind, name in KINDS.items():
        for row in getattr(evidence, kind):
            highest = given.get(place_of(row))
            if highest is None:
                yield about_row("I5", f"{name} under fence {row['fence']} of a partition that nobody ever owned", row)
            elif not 1 <= row["fence"] <= highest:
                yield about_row("I5", f"{name} under fence {row['fence']}; those of its partition are 1 to {highest}",
                                row)
    for row in evidence.rewinds:
        if not 1 <= row["fence"] <= given.get(place_of(row), 0):
            yield Violation("I5", f"a rewind under fence {row['fence']}, which was never given",
                            position=(*place_of(row), None))


def fences_rise_in_time(evidence):
    rows = defaultdict(list)
    for row in evidence.audit:
        rows[place_of(row)].append(row)
    for place, written in rows.items():
        highest, since = 0, None
        for row in sorted(written, key=lambda each: each["at"]):
            if row["fence"] > highest:
                highest, since = row["fence"], row["at"]
            elif row["fence"] < highest and row["at"] > since + AHEAD_US:
                late = (row["at"] - since) / 1e6
                yield about_row("I5", f"written under fence {row['fence']}, {late:.3f} s after the first row under "
                                      f"fence {highest} of {place[0]}/{place[1]}", row)


def fences_rise_with_versions(evidence):
    about, steps = About(evidence), defaultdict(list)
    for event in evidence.events:
        row = about.rows.get(event.event_id)
        for aggregate, _, version in event.changes() if row else []:
            steps[(aggregate, place_of(row))].append((version, row["fence"], event))
    for (aggregate, _), written in steps.items():
        written.sort(key=lambda step: step[0])
        for (before, higher, _), (version, fence, event) in zip(written, written[1:]):
            if fence < higher:
                yield about.event("I5", f"{aggregate}: version {version} was written under fence {fence}, version "
                                        f"{before} under {higher} before it", event, aggregate)


def one_fence_a_command(evidence):
    """The inbox row and the audit row of a command are of one transaction."""
    inbox = {row["identity"]: row for row in evidence.inbox if not row["parked"]}
    for row in evidence.audit:
        mine = inbox.get(identity_uuid(row["command_source"], row["command_id"]))
        if mine is not None and row["reason"] != "id_reused" and mine["fence"] != row["fence"] and \
                (place_of(mine), mine["offset"]) == (place_of(row), row["offset"]):
            yield about_row("I5", f"the audit row was written under fence {row['fence']}, the command's inbox row "
                                  f"under {mine['fence']}", row)


# ---- the group's commits -------------------------------------------------------------------------------------

def by_partition(commits):
    found = defaultdict(list)
    for commit in commits:
        found[(commit.topic, commit.partition)].append(commit)
    return found


def commits_rise(place, commits, noted, options):
    in_transactions = any(not commit.is_plain and commit.offset is not None for commit in commits)
    rewinds = sorted(row["below"] for row in noted)
    last = moved = None
    highest = 0
    for number, commit in enumerate(commits):
        moved = commit.offset if commit.is_plain else moved
        if commit.offset is not None and last is not None and commit.offset < last:
            if not explained(commit, last == moved, in_transactions, rewinds, options.drained,
                             is_last=number == len(commits) - 1) and \
                    not (options.broker_crashed and found_gone_back(commits[number:], highest, noted)):
                who = "plainly" if commit.is_plain else f"by producer {commit.producer}"
                yield Violation("I5", f"offset {commit.offset} was committed {who} after {last}",
                                position=(*place, commit.offset), at=commit.at)
        last, highest = commit.offset, max(highest, commit.fence or 0)


def found_gone_back(commits, highest, noted):
    """The owner of the first of them wrote that down, or one between it and the last owner that committed. An owner
    that dies while it publishes arrears, at the offset that it found, leaves the note to the next one."""
    first = commits[0]
    if first.is_plain or first.fence is None or first.fence <= highest:
        return False
    latest = next((each.fence for each in commits if each.fence is not None and not each.in_arrears), None)
    return any(highest < row["fence"] and (latest is None or row["fence"] <= latest) and row["below"] > first.offset
               for row in noted)


def explained(commit, from_moved, in_transactions, rewinds, drained, is_last):
    if not commit.is_plain:
        # Somebody moved the group past the end: the next owner wrote down a rewind from there, and began again.
        return from_moved and spent(rewinds, lambda below: below > commit.offset)
    if in_transactions or (is_last and not drained):
        return True
    return spent(rewinds, lambda below: below > commit.offset)


def spent(rewinds, fits):
    """One rewind, one move."""
    written = next((below for below in rewinds if fits(below)), None)
    if written is not None:
        rewinds.remove(written)
    return written is not None


def published_was_committed(evidence, place, commits):
    """`published` of a partition follows the commits; unless somebody moved them since, it is at none of its own."""
    if commits[-1].offset is None or commits[-1].is_plain:
        return
    reached = max(commit.offset for commit in commits if commit.offset is not None)
    for owner in evidence.owners:
        if place_of(owner) == place and owner["published"] > reached:
            yield Violation("I5", f"published stands at {owner['published']}; no commit of the group is above "
                                  f"{reached}",
                            position=(*place, owner["published"]))
