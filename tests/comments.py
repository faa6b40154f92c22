"""Comments, strings and code of this repository's files, for tests/citations, tests/words and tests/assertions."""

import os
import re
from pathlib import Path

LEFT_OUT = {"build", "node_modules", "__pycache__"}

# Migrations are never edited: their bytes are in the checksum that databases have recorded. So their comments may cite a
# page under the name that it had.
FROZEN = re.compile(r"schema/\d{4}_\w+\.up\.sql")

C_PARTS = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.DOTALL)
PYTHON_PARTS = re.compile(r'r?""".*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*', re.DOTALL)
HASH_PARTS = re.compile(r"(?:^|(?<=\s))#[^\n]*")
SQL_PARTS = re.compile(r"'(?:''|[^'])*'|--[^\n]*")


def files_of(root):
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and
                            (not name.startswith(".") or name == ".ci"))
        for name in sorted(names):
            yield Path(place, name).relative_to(root).as_posix()


def language_of(path, text):
    name, suffix = path.rsplit("/", 1)[-1], Path(path).suffix
    if suffix in (".c", ".h"):
        return C_PARTS
    if suffix == ".sql":
        return SQL_PARTS
    if suffix == ".py" or text.startswith("#!/usr/bin/env python3"):
        return PYTHON_PARTS
    if suffix in (".cmake", ".sh", ".conf", ".service") or name == "CMakeLists.txt" or text.startswith("#!"):
        return HASH_PARTS
    return None


def is_comment(part):
    return part.startswith(("/*", "//", "#", "--", '"""', 'r"""'))


def split(path, text):
    """The comments of a file as (line, text), and its code. A document is one comment."""
    if path.endswith(".md"):
        return [(1, text)], ""
    language = language_of(path, text)
    if language is None:
        return [], text
    comments, code, at = [], [], 0
    for match in language.finditer(text):
        if is_comment(match.group()):
            comments.append((text.count("\n", 0, match.start()) + 1, match.group()))
            code.append(text[at:match.start()])
            at = match.end()
    code.append(text[at:])
    return comments, " ".join(code)


def strings(path, text):
    """The strings of a file as (line, text), without their quotes; of a script, which quotes in many ways, its lines."""
    language = language_of(path, text)
    if language is HASH_PARTS:
        return [(line, each) for line, each in enumerate(text.split("\n"), 1) if not each.lstrip().startswith("#")]
    if language is None or path.endswith(".md"):
        return []
    found, end = [], None
    for match in language.finditer(text):
        if is_comment(match.group()):
            continue
        if found and not text[end:match.start()].strip():  # literals that follow each other are one string
            found[-1] = (found[-1][0], found[-1][1] + "\n" * text.count("\n", end, match.start()) + match.group()[1:-1])
        else:
            found.append((text.count("\n", 0, match.start()) + 1, match.group()[1:-1]))
        end = match.end()
    return found


def joined(comments):
    """Comments of one line that follow each other are one text, so that what is broken over two lines is found."""
    runs = []
    for line, text in comments:
        if runs and text[0] in "#-" and runs[-1][0] + runs[-1][1].count("\n") + 1 == line:
            runs[-1] = (runs[-1][0], runs[-1][1] + "\n" + text)
        else:
            runs.append((line, text))
    return runs
