"""Plots, by the Python of the tests: it has matplotlib, and this one need not."""

import json
import os
import subprocess

from .stack import ROOT, Failed, call


def python():
    """Its path. Made before anything is measured, because it may take pip a minute."""
    found = call(["bash", "-c", ". tests/lib.sh && tests_python"], cwd=ROOT).split()
    return f"{found[-1]}/bin/python"


def draw(program, kind, data, path):
    done = subprocess.run([program, "-m", "harness.plots", kind, str(path)], cwd=ROOT / "tests", input=json.dumps(data),
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{path}: {done.stderr.strip()}")
