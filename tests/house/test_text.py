"""Rules about the text: lengths as a ratchet, banned calls, names of other places, headers of files."""
import re
import subprocess

import pytest

from tree import TOP, c_files, code, files, functions, text

FUNCTION_LINES, FILE_LINES = 70, 800
RATCHET = TOP / "tests/house/ratchet.txt"

# Call → what to use instead.
BANNED = {
    "strcpy": "snprintf or struct buf", "strcat": "struct buf (base/buf.h)", "sprintf": "snprintf or buf_printf",
    "vsprintf": "vsnprintf or buf_printf", "gets": "read with a limit", "strncpy": "snprintf or arena_strn",
    "strncat": "struct buf (base/buf.h)", "strtok": "slice_cut (base/slice.h)", "strtok_r": "slice_cut (base/slice.h)",
    "atoi": "slice_u64 (base/slice.h)", "atol": "slice_u64 (base/slice.h)", "atoll": "slice_u64 (base/slice.h)",
    "atof": "strtod with an end pointer", "scanf": "a parser with limits",
    "system": "posix_spawn or fork and execve", "popen": "fork and execve with a pipe", "alloca": "an arena or a fixed array",
    "rand": "getrandom or loop_random", "srand": "getrandom or loop_random", "random": "getrandom or loop_random",
    "tmpnam": "memfd_create or O_TMPFILE", "mktemp": "mkstemp or O_TMPFILE", "asctime": "time_format (base/times.h)",
    "ctime": "time_format (base/times.h)", "gmtime": "gmtime_r", "localtime": "gmtime_r: everything is UTC",
    "gethostbyname": "getaddrinfo off the loop", "inet_ntoa": "inet_ntop", "inet_addr": "inet_pton", "signal": "sigaction",
    "usleep": "a timer of the loop", "sleep": "a timer of the loop", "vfork": "fork", "setjmp": "error returns",
    "longjmp": "error returns", "strdup": "arena_str, or strdup with a note why",
}
# What may be called after all: call → pattern of the harmless form.
HARMLESS = {
    "signal": re.compile(r"signal\([^,]+, SIG_(IGN|DFL)\)"),  # no handler
    "strdup": re.compile(r"strdup\("),  # owned by a struct that lives longer than an arena; freed by OWN(free_p)
}
TESTS_MAY = {"usleep", "sleep"}  # a test program has no loop, and waits for other processes


def ratchet():
    """path[:function] → lines, of what was too long when the rule came."""
    out = {}
    for line in RATCHET.read_text().splitlines():
        if line and not line.startswith("#"):
            what, n = line.rsplit(" ", 1)
            out[what] = int(n)
    return out


def too_long():
    found = {}
    for p in c_files():
        n = text(p).count("\n")
        if n > FILE_LINES:
            found[p] = n
        for name, lines in functions(p):
            if lines > FUNCTION_LINES:
                found[f"{p}:{name}"] = lines
    return found


def test_lengths_only_shrink():
    allowed, found, wrong = ratchet(), too_long(), []
    for what, n in sorted(found.items()):
        limit = FUNCTION_LINES if ":" in what else FILE_LINES
        if what not in allowed:
            wrong.append(f"{what} has {n} lines, more than {limit}: divide it")
        elif n > allowed[what]:
            wrong.append(f"{what} grew from {allowed[what]} to {n} lines: divide it")
        elif n < allowed[what]:
            wrong.append(f"{what} shrank from {allowed[what]} to {n} lines: lower its number in {RATCHET.name}")
    wrong += [f"{what} is short enough now: remove it from {RATCHET.name}" for what in sorted(set(allowed) - set(found))]
    assert not wrong, "\n".join(wrong)


def test_the_measure_finds_functions():
    """The ratchet would pass for ever if the parser found nothing."""
    assert ("arena_grow", 7) in functions("src/base/arena.c")
    assert sum(len(functions(p)) for p in files("src/*.c")) > 1500


def banned_calls(body):
    call = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(BANNED))
    return [(body.count("\n", 0, m.start()) + 1, m.group(1)) for m in call.finditer(body)]


@pytest.mark.parametrize("body, calls", [
    ("x = strcpy(a, b);", ["strcpy"]), ("my_strcpy(a); s->system(x); o.rand(); evsystem (1);", []), ("\n  system (\"\");", ["system"]),
])
def test_the_search_for_banned_calls_finds_them(body, calls):
    assert [c for _, c in banned_calls(body)] == calls


def test_no_banned_calls():
    wrong = []
    for p in c_files():
        for line, call in banned_calls(code(p)):
            line_text = code(p).split("\n")[line - 1]
            harmless = call in HARMLESS and HARMLESS[call].search(line_text)
            if not harmless and not (call in TESTS_MAY and p.endswith("_test.c")):
                wrong.append(f"{p}:{line}: {call}: use {BANNED[call]}")
    assert not wrong, "\n".join(wrong)


# Standard streams of a process that is about to be started.
MEANT_FOR_A_CHILD = {"src/main.c": [r"O_RDWR\)$"], "src/broker/shim_link.c": [r"O_RDWR\)$"], "src/proc/init.c": [r"STDERR_FILENO, 0\)$"]}


def test_descriptors_are_closed_on_exec():
    """A descriptor without O_CLOEXEC would be inherited by every container."""
    call = re.compile(r"(?<![\w.>])(open|openat|socket|accept4|pipe2|memfd_create|epoll_create1|dup3)\s*\(((?:[^()]|\([^()]*\))*)\)")
    wrong = []
    for p in files("src/*.c", "shim/*.c"):
        if p.endswith("_test.c") or "bench" in p:
            continue
        for m in call.finditer(code(p)):
            inherited = any(re.search(pattern, m.group(0)) for pattern in MEANT_FOR_A_CHILD.get(p, ()))
            if "CLOEXEC" not in m.group(2) and "flags" not in m.group(2) and not inherited:
                wrong.append(f"{p}:{code(p).count(chr(10), 0, m.start()) + 1}: {m.group(0)}")
    assert not wrong, "\n".join(wrong)


def test_nothing_refers_to_the_shared_folder():
    allowed = {"tests/house/test_text.py"}
    word = "../" + "shared"
    wrong = [p for p in files("*") if p not in allowed and not p.startswith(("tests/", "bench/")) and word in text(p)]
    assert not wrong, "the project stands alone"


def test_lines_are_short_enough():
    wrong = [f"{p}:{i + 1}" for p in c_files() if "clang-format off" not in text(p)
             for i, line in enumerate(text(p).split("\n")) if len(line) > 100]
    assert not wrong, "\n".join(wrong)


def test_every_header_says_what_it_is_for():
    wrong = [p for p in files("src/*.h", "shim/*.h") if not text(p).lstrip().startswith("/*")]
    assert not wrong, "a header begins with a comment: what the module does, for those who use it"


def test_every_source_says_what_it_is():
    """A .c file begins with a comment, or is the body of a header of its own name that has one, or is a test or entry of it."""
    wrong = []
    for p in files("src/*.c", "shim/*.c"):
        headers = set(files("src/*.h", "shim/*.h"))
        if text(p).lstrip().startswith("/*") or p[:-2] + ".h" in headers or p.endswith("_test.c"):
            continue
        wrong.append(p)
    assert not wrong, "begin with a comment:\n" + "\n".join(wrong)


def scripts(interpreter):
    return [p for p in files("*") if re.match(r"#!.*\b" + interpreter, text(p)[:80])]


def test_shell_scripts_parse():
    found = [p for p in files("*") if re.match(r"#!.*\b(ba)?sh\b", text(p)[:80])]
    assert found
    bad = [p for p in found if subprocess.run(["bash", "-n", TOP / p], capture_output=True).returncode]
    assert not bad


def test_python_parses():
    found = sorted({*files("*.py"), *scripts("python3?")})
    assert len(found) > 5
    for p in found:
        compile(text(p), p, "exec")


def test_nothing_lies_about_at_the_top():
    top = {p for p in files("*") if "/" not in p}
    assert top == {".clang-format", ".clang-tidy", ".gitignore", "LICENSE", "Makefile", "README.md", "meson.build", "meson_options.txt"}
