"""Pauses as an operator makes and ends them."""

import json
import re

BECAUSE = ("--execute", "--reason", "a test")


def pause(world, *arguments, code=0, wait="60s"):
    """The number of the pause. In force everywhere when it returns, unless `code` says otherwise."""
    done = world.verb("pause", *arguments, "--wait", wait, *BECAUSE, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return int(re.search(r"^pause (\d+) by", done.stdout, re.MULTILINE).group(1))


def resume(world, number, *arguments):
    done = world.verb("resume", number, *arguments, *BECAUSE)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(re.search(r"(\d+) commands return", done.stdout).group(1))


def pauses(world, *arguments):
    done = world.verb("pause", "list", *arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["pauses"]
