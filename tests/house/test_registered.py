"""Golden lists: what registers itself in the executable. Adding a service, verb, reconciler, plugin, volume or kind changes one
line of tests/house/golden/; one that is lost by a linker flag or a missing link_whole is seen here.

`run.py house` with ATOLL_GOLDEN=write in the environment rewrites the lists."""
import os
import re
import subprocess
from pathlib import Path

import pytest

from elf import load
from test_schema import SCHEMA
from tree import TOP, build_dir, code, files, text

GOLDEN = Path(__file__).resolve().parent / "golden"
SECTIONS = {"services": "atoll_services", "verbs": "atoll_verbs", "reconcilers": "atoll_reconcilers",
            "scheduler_plugins": "atoll_sched_plugins", "volume_drivers": "atoll_volumes"}


@pytest.fixture(scope="session")
def atoll():
    path = build_dir() / "atoll"
    if not path.is_file():
        pytest.skip(f"no {path}: build first")
    return path


def check(name, lines):
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("ATOLL_GOLDEN") == "write":
        path.write_text("\n".join(lines) + "\n")
    want = path.read_text().splitlines()
    assert lines == want, f"{path.relative_to(TOP)}: new {sorted(set(lines) - set(want))}, lost {sorted(set(want) - set(lines))}"


@pytest.mark.parametrize("name", SECTIONS)
def test_registrations(atoll, name):
    check(name, load(atoll).names(SECTIONS[name]))


def test_behaviours_of_kinds(atoll):
    elf = load(atoll)
    check("behaviours", sorted(f"{elf.string(at)}/{elf.string(at + 8)}" for at in elf.registered("atoll_kinds")))


def test_kinds():
    check("kinds", sorted(f"{k.group.name or 'core'}/{k.group.version} {k.name}" for k in SCHEMA.kinds))


def test_every_registration_of_the_source_is_in_the_executable(atoll):
    """As many lines REGISTER(x); in the services' folders as entries in the section."""
    macros = {"SERVICE": "atoll_services", "VERB": "atoll_verbs", "RECONCILER": "atoll_reconcilers", "SCHED_PLUGIN": "atoll_sched_plugins",
              "VOLUME_DRIVER": "atoll_volumes", "API_BEHAVIOR": "atoll_kinds"}
    for macro, section in macros.items():
        n = sum(len(re.findall(rf"^{macro}\(", code(p), re.M)) for p in files("src/*.c") if not p.endswith("_test.c"))
        assert n == len(load(atoll).registered(section)), macro


def test_services_are_the_rows_of_the_authority_table(atoll):
    rows = subprocess.run([atoll, "debug", "authority"], capture_output=True, text=True, check=True).stdout
    for name in load(atoll).names("atoll_services"):
        assert re.search(rf"\b{name}\b", rows), f"{name} has no row: what may it do?"


def run(atoll, *args):
    return subprocess.run([atoll, *args], capture_output=True, text=True, timeout=20)


def test_every_verb_answers_help(atoll):
    for verb in load(atoll).names("atoll_verbs"):
        r = run(atoll, verb, "--help")
        assert r.returncode == 0 and r.stderr == "", verb
        assert r.stdout.startswith(f"usage: atoll {verb}") and "--root DIR" in r.stdout, verb
        assert "\nexit status: 0 " in r.stdout or verb == "sp", verb  # `atoll sp` lists its verbs; each of these has it


def test_every_verb_refuses_what_it_does_not_know(atoll):
    """One line, exit status 2."""
    for verb in load(atoll).names("atoll_verbs"):
        r = run(atoll, verb, "--no-such-option")
        assert (r.returncode, r.stdout, r.stderr.count("\n")) == (2, "", 1), (verb, r)
        assert "--no-such-option" in r.stderr
    r = run(atoll, "no-such-verb")
    assert r.returncode == 2 and "no-such-verb" in r.stderr and r.stderr.count("\n") == 1


def test_verbs_have_a_line_of_help(atoll):
    shown = run(atoll, "help").stdout
    for verb in load(atoll).names("atoll_verbs"):
        assert re.search(rf"^  {verb}\s+\S", shown, re.M), verb


def test_every_field_and_type_has_a_doc():
    """kubectl explain shows them."""
    for t in SCHEMA.types:
        assert t.doc.strip(), t.name
        for f in t.fields:
            assert f.doc.strip().endswith((".", "…", "?")), f"{t.name}.{f.name}: the doc is a sentence"
            assert f.doc.strip(" .").lower() != f.name.lower(), f"{t.name}.{f.name}: the doc only repeats the name"


def test_the_documentation_names_every_service_and_verb(atoll):
    book = text("docs/architecture.md") + text("README.md")
    for section in ("atoll_services", "atoll_verbs"):
        for name in load(atoll).names(section):
            assert re.search(rf"\b{name}\b", book), name


def test_links_of_the_documentation_lead_somewhere():
    wrong = []
    for p in files("*.md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text(p)):
            if "://" not in target and not (TOP / p).parent.joinpath(target).exists():
                wrong.append(f"{p}: {target}")
    assert not wrong, "\n".join(wrong)
