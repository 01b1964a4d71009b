"""Runs the tests and says how many passed: `make test` is all of it, `run.py PART…` some.

Parts: build (gcc and clang, warnings are errors), unit, sanitize (unit tests under ASan and UBSan), house, e2e, crash, sim (plans in the simulator), fuzz, lint.
Each part prints a line when it starts and one when it ends; the last line of the run is `N passed, N failed, N skipped`.
"""
import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
GCC, CLANG, ASAN = TOP / "build", TOP / "build-clang", TOP / "build-asan"
# One tree serves the sanitizers and the fuzz targets.
ASAN_FLAGS = ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dfuzz=true"]
ENV = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
PYTEST_S = 1500


class Totals:
    """Counts over all parts, and what failed."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def ok(self, n=1):
        self.passed += n

    def fail(self, what, output=""):
        self.failed += 1
        self.failures.append(what)
        print(f"  FAILED {what}", flush=True)
        if output:
            print("\n".join("    " + line for line in output.strip().splitlines()[-60:]), flush=True)


def call(args, timeout=1500, env=ENV, input=None):
    """Runs a command to its end, or ends it with all that it started: what takes too long is a failure like any other (exit 124).

    The output goes through a file, since what a command leaves running would keep a pipe open.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+") as given:
        given.write(input or "")
        given.seek(0)
        p = subprocess.Popen([str(a) for a in args], cwd=TOP, env=env, stdin=given, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = p.wait(timeout)
        except subprocess.TimeoutExpired:
            code = 124
            print(f"  {args[0]} took longer than {timeout} s", flush=True)
        finally:
            end_group(p)
        out.seek(0)
        return subprocess.CompletedProcess(args, code, out.read())


def end_group(p):
    try:
        os.killpg(p.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    p.wait()


def configure(build, flags, cc):
    if (build / "build.ninja").exists():
        return None
    r = call(["meson", "setup", build, "-Dwerror=true", *flags], env=dict(ENV, CC=cc))
    return None if r.returncode == 0 else r.stdout


def compile_in(totals, name, build, flags, cc):
    problem = configure(build, flags, cc)
    if problem:
        totals.fail(f"build {name}", problem)
        return False
    r = call(["ninja", "-C", build], timeout=3000)
    if r.returncode:
        lines = [l for l in r.stdout.splitlines() if re.search(r"error|warning|FAILED|undefined", l)]
        totals.fail(f"build {name}", "\n".join(lines) or r.stdout)
        return False
    totals.ok()
    return True


def part_build(totals, _):
    if compile_in(totals, "gcc", GCC, [], "gcc"):
        compile_in(totals, "clang", CLANG, [], "clang")


def run_units(totals, build, env=ENV):
    programs = sorted(p for p in build.glob("unit_*") if p.is_file() and os.access(p, os.X_OK))
    if not programs:
        totals.fail(f"no unit test programs in {build.name}")
    for p in programs:
        r = call([p], env=env, timeout=300)
        passed = len(re.findall(r"^\[       OK \]", r.stdout, re.M))
        failed = re.findall(r"^\[  FAILED  \] ([a-z]\w+)$", r.stdout, re.M)
        begun = re.findall(r"^\[ RUN      \] (\w+)$", r.stdout, re.M)
        skipped = set(re.findall(r"^\[  SKIPPED \] ([a-z]\w+)$", r.stdout, re.M))  # each stands there twice
        totals.skipped += len(skipped)
        if skipped:
            print(f"  {p.name} skipped {' '.join(sorted(skipped))}", flush=True)
        totals.ok(passed)
        for name in sorted(set(failed)):
            totals.fail(f"{p.name} {name}")
        if r.returncode and not failed:
            totals.fail(f"{p.name} (exit {r.returncode}, in {begun[-1] if begun else 'no test'})")
        if r.returncode:
            print(r.stdout[-4000:], flush=True)


def part_unit(totals, _):
    if compile_in(totals, "gcc", GCC, [], "gcc"):
        run_units(totals, GCC)


def part_sanitize(totals, _):
    if compile_in(totals, "asan", ASAN, ASAN_FLAGS, "clang"):
        run_units(totals, ASAN, dict(ENV, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0",
                                     UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"))


def pytest(totals, folder, extra=()):
    report = TOP / f".pytest-{folder.replace('/', '-')}.xml"
    p = subprocess.Popen(["/usr/bin/python3", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--tb=short", f"--junitxml={report}",
                          *extra, f"tests/{folder}"], cwd=TOP, env=ENV)
    try:
        p.wait(PYTEST_S)
    except subprocess.TimeoutExpired:
        totals.fail(f"pytest {folder} took longer than {PYTEST_S} s")
        p.send_signal(signal.SIGINT)  # fixtures still clean up
        p.wait()
    if not report.exists():
        totals.fail(f"pytest {folder} (exit {p.returncode})")
        return
    for suite in ET.parse(report).getroot().iter("testsuite"):
        bad = int(suite.get("failures")) + int(suite.get("errors"))
        skip = int(suite.get("skipped"))
        totals.skipped += skip
        totals.ok(int(suite.get("tests")) - bad - skip)
        for case in suite.iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                totals.failed += 1
                totals.failures.append(f"{case.get('classname')}::{case.get('name')}")
    report.unlink()


def part_house(totals, _):
    pytest(totals, "house")


def part_e2e(totals, args):
    """Files run beside each other, each worker in a network namespace of its own: tests mostly wait."""
    pytest(totals, "e2e", ["-n", "3", "--dist", "loadfile", *args.rest])


def part_fuzz(totals, args):
    if not compile_in(totals, "fuzz", ASAN, ASAN_FLAGS, "clang"):
        return
    targets = sorted(p for p in ASAN.rglob("fuzz_*") if p.is_file() and os.access(p, os.X_OK))
    if not targets:
        totals.fail("no fuzz targets")
    for t in targets:
        corpus = TOP / "fuzz" / "corpus" / t.name
        work = ASAN / "corpus" / t.name
        work.mkdir(parents=True, exist_ok=True)
        dirs = [work] + ([corpus] if corpus.is_dir() else [])
        r = call([t, f"-max_total_time={args.seconds}", "-rss_limit_mb=1024", "-timeout=10", "-print_final_stats=0",
                  f"-artifact_prefix={work.parent}/{t.name}-", *dirs], timeout=args.seconds + 120)
        if r.returncode:
            totals.fail(t.name, r.stdout)
        else:
            totals.ok()
        print(f"  {t.name}: {'ok' if r.returncode == 0 else 'FAILED'}", flush=True)


def part_crash(totals, args):
    r = subprocess.run(["/usr/bin/python3", "tests/crash/run.py", "--short", "--build", GCC], cwd=TOP, env=ENV, stdout=subprocess.PIPE, text=True)
    lines = r.stdout.strip().splitlines()
    print("\n".join(lines[:-1]), flush=True)
    counts = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", lines[-1] if lines else "")
    if not counts:
        totals.fail("crash", r.stdout)
        return
    totals.ok(int(counts[1]))
    totals.skipped += int(counts[3])
    for _ in range(int(counts[2])):
        totals.fail("crash")


def part_sim(totals, _):
    """Seeds that failed once, then a few more plans; `make sim` runs a thousand."""
    for args in (["--seeds-file", "tests/sim/seeds"], ["--plans", "40"]):
        r = call([GCC / "atoll", "sim", *args], timeout=300)
        print("  " + (r.stdout.strip().splitlines() or ["nothing"])[-1], flush=True)
        totals.ok() if r.returncode == 0 else totals.fail("sim " + " ".join(args), r.stdout)


def sources():
    out = call(["git", "ls-files", "src/*.c", "shim/*.c"]).stdout.split()
    return [f for f in out if not f.endswith("_test.c")]


def part_lint(totals, args):
    whole = "lint" in args.parts
    files = call(["git", "ls-files", "*.c", "*.h"]).stdout.split()
    r = call(["clang-format", "--dry-run", "-Werror", *files])
    wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", r.stdout, re.M)))
    totals.ok() if r.returncode == 0 else totals.fail("clang-format (run: make fmt)", "\n".join(wrong))
    r = call(["cppcheck", "-q", "--std=c11", "--enable=warning,portability", "--inline-suppr", "--error-exitcode=3", "-j2",
              "--suppressions-list=tools/cppcheck.suppress", "--library=posix", "-D_GNU_SOURCE", "-Isrc", *sources()])
    totals.ok() if r.returncode == 0 else totals.fail("cppcheck", r.stdout)
    clang_tidy(totals, whole)


def clang_tidy(totals, whole):
    """On the flags of the clang build. The analyzer takes minutes: `make lint` runs it, `make test` the other checks only."""
    problem = configure(CLANG, [], "clang")
    if not problem:
        r = call(["ninja", "-C", CLANG, *generated()])
        problem = r.returncode and r.stdout
    if problem:
        totals.fail("clang-tidy", problem)
        return
    if not whole:
        print("  clang-tidy without the analyzer; `make lint` runs that too", flush=True)
    checks = [] if whole else ["--checks=-clang-analyzer-*"]
    r = call(["xargs", "-P2", "-n8", "clang-tidy", "--quiet", *checks, "-p", CLANG], input="\n".join(tidy_sources()), timeout=2 * 3600)
    found = [l for l in r.stdout.splitlines() if re.search(r": (warning|error): ", l)]
    if found or r.returncode:
        totals.fail("clang-tidy", "\n".join(sorted(set(found))) or r.stdout)
    else:
        totals.ok()


def generated():
    """What must exist before a file can be read: headers that are made."""
    out = call(["ninja", "-C", CLANG, "-t", "targets", "all"]).stdout
    return re.findall(r"^(\S+\.h):", out, re.M)


def tidy_sources():
    """Files of the clang build; the shim has its own compiler."""
    return [f for f in sources() if f.startswith("src/") and not f.endswith("_bench.c")]


PARTS = {"build": part_build, "unit": part_unit, "sanitize": part_sanitize, "house": part_house, "lint": part_lint,
         "fuzz": part_fuzz, "e2e": part_e2e, "crash": part_crash, "sim": part_sim}
ALL = ["build", "unit", "house", "lint", "sanitize", "fuzz", "crash", "sim", "e2e"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="parts to run; all when none is named")
    parser.add_argument("--seconds", type=int, default=2, help="fuzz time for each target (default: %(default)s)")
    parser.add_argument("--rest", nargs=argparse.REMAINDER, default=[], help="arguments for pytest")
    args = parser.parse_args()
    totals = Totals()
    for name in args.parts or ALL:
        print(f"== {name}", flush=True)
        t = time.monotonic()
        PARTS[name](totals, args)
        print(f"== {name} took {time.monotonic() - t:.0f} s", flush=True)
    for f in totals.failures:
        print(f"failed: {f}")
    print(f"{totals.passed} passed, {totals.failed} failed, {totals.skipped} skipped")
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
