#!/usr/bin/env python3
"""Checks the rules of HACKING.md that a compiler does not.

Who may include whom, in what order, which file may include a library, what is
banned, how long lines, functions and files may get, and include guards. Prints file:line: message for each
breach; ends with status 1 if there is one.
"""
import os
import pathlib
import re
import sys

# "make check" says where the sources are.
TOP = pathlib.Path(os.environ.get("srcdir", "."))
LAYERS = {
    "lib": {"lib"},
    "passdb": {"passdb", "lib"},
    "backends": {"backends", "lib"},
    "deliver": {"deliver", "backends", "passdb", "lib"},
    "proxy": {"proxy", "deliver", "backends", "passdb", "lib"},
    "ctl": {"ctl", "lib"},
}
# library header -> the one file that includes it; of OpenSSL its digests, and
# TLS with all that it drags in, which takes several files of one prefix
LIBRARIES = {
    "event2/": r"lib/loop\.c",
    "curl/": r"lib/http/(http\.c|multi\.[ch])",
    "jansson": r"lib/json\.c",
    "ares": r"lib/dns\.c",
    "ldap.h": r"passdb/ldap/conn\.c",
    "lber.h": r"passdb/ldap/conn\.c",
    "openldap.h": r"passdb/ldap/conn\.c",
    "openssl/": r"lib/(digest\.c|tls/\w+\.[ch])",
}
TLS_PRIVATE = ("lib/tls/private.h", "lib/tls/wire.h")
IO_FREE = re.compile(r"lib/(smtp|conf)/")
IO_HEADERS = ("lib/loop.h", "lib/stream.h", "lib/tls/tls.h", "lib/dns.h",
              "lib/connect.h", "lib/spool.h", "lib/log/log.h", "lib/http/http.h")
BANNED = re.compile(
    r"\b(strcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets|strtok|gmtime|"
    r"localtime|ctime|asctime|alloca|system|popen|tmpnam|mktemp)\s*\(")
INCLUDE = re.compile(r'#include\s+(["<])([^">]+)[">]')
MAX_COLUMNS = 100
MAX_FUNCTION = 60
MAX_LINES = {".c": 800, ".h": 300}

breaches = 0


def breach(path, line, message):
    global breaches
    breaches += 1
    print(f"{path}:{line}: {message}")


def check_include(path, number, bracket, header):
    layer = path.split("/")[0]
    if bracket == '"' and header != "config.h":
        other = header.split("/")[0]
        if other not in LAYERS[layer]:
            breach(path, number, f"{layer} must not include {header}")
        if IO_FREE.match(path) and header in IO_HEADERS:
            breach(path, number, f"no I/O here: {header}")
    for prefix, owner in LIBRARIES.items():
        if bracket == "<" and header.startswith(prefix) and \
                not re.fullmatch(owner, path):
            breach(path, number, f"only {owner} includes <{header}>")
    if header in TLS_PRIVATE and not re.fullmatch(LIBRARIES["openssl/"], path):
        breach(path, number, f"OpenSSL comes along with {header}")


def check_order(path, lines):
    """The header of the file, or of its folder, alone; those of the system; ours."""
    found = [(number, *m.groups()) for number, m in
             enumerate(map(INCLUDE.match, lines), 1) if m]
    if found and found[0][1] == '"' and path.endswith(".c") and \
            os.path.dirname(found[0][2]) == os.path.dirname(path) and \
            (len(found) == 1 or found[1][0] != found[0][0] + 1):
        del found[0]
    keys = [(bracket == '"', header != "config.h", header)
            for _, bracket, header in found]
    for (number, _, header), key, before in zip(found[1:], keys[1:], keys):
        if key <= before:
            breach(path, number, f"{header} belongs before {before[2]}")


def check_guard(path, lines):
    guard = re.sub(r"[/.]", "_", path).upper()
    if f"#ifndef {guard}\n#define {guard}\n" not in "\n".join(lines):
        breach(path, 1, f"no include guard {guard}")


def check_functions(path, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > MAX_FUNCTION:
                breach(path, start,
                       f"function of {number - start - 1} lines")
            start = None


def check_file(file):
    path = str(file.relative_to(TOP))
    lines = file.read_text().split("\n")
    if len(lines) > MAX_LINES[file.suffix]:
        breach(path, len(lines), "file is too long")
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > MAX_COLUMNS:
            breach(path, number, "line is too long")
        if line.endswith((" ", "\t")):
            breach(path, number, "blank at the end of the line")
        include = INCLUDE.match(line)
        if include:
            check_include(path, number, *include.groups())
        code = re.sub(r'"(\\.|[^"\\])*"|/\*.*?\*/|^ \*.*', "", line)
        banned = BANNED.search(code)
        if banned:
            breach(path, number, f"banned function {banned.group(1)}()")
    check_order(path, lines)
    if file.suffix == ".c":
        check_functions(path, lines)
    else:
        check_guard(path, lines)


def main():
    files = [f for layer in LAYERS for f in sorted((TOP / layer).rglob("*.[ch]"))]
    if not files:
        breach(str(TOP), 0, "no source files found")
    for file in files:
        check_file(file)
    print(f"{len(files)} files, {breaches} breaches")
    return 1 if breaches else 0


sys.exit(main())
