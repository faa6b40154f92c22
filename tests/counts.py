"""python counts.py REPORT NAME FAILURES: prints how many tests of a junit report passed and failed, and appends what
failed, with its reason, to the file FAILURES. No report, or one without a test, is a failure."""

import sys
import xml.etree.ElementTree as tree

DETAIL_LINES = 40


def detail(problem):
    lines = (problem.text or problem.get("message") or "").strip().splitlines()
    return "\n".join("    " + line for line in lines[-DETAIL_LINES:])


def main(report, name, failures):
    told = []
    try:
        suite = tree.parse(report).getroot().find("testsuite")
    except (OSError, tree.ParseError) as problem:
        suite, told = None, [f"FAILED  {name}: pytest left no report ({problem})\n"]
    passed = failed = 0
    for case in suite.findall("testcase") if suite is not None else []:
        problems = [each for each in case if each.tag in ("failure", "error")]
        if problems:
            failed += 1
            told += [f"FAILED  {name}: {case.get('classname')}::{case.get('name')}\n{detail(each)}\n" for each in problems]
        elif case.find("skipped") is None:
            passed += 1
    if suite is not None:
        # Also what belongs to no test: an error at collection, a worker of pytest that died.
        counted = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        failed = max(failed, counted)
    if passed + failed == 0:
        failed = 1
        told = told or [f"FAILED  {name}: no test ran\n"]
    with open(failures, "a", encoding="utf-8") as out:
        out.writelines(told)
    print(passed, failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
