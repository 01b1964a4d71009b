"""Includes point downwards only, services know nothing of each other, and every header compiles alone."""
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tree import TOP, c_files, files, text

ORDER = ["base", "proto", "proc", "wire", "api", "client"]
SERVICES = ["store", "keys", "egress", "server", "controllers", "scheduler", "broker", "node", "image", "network", "dns", "sp"]
# What a folder may include besides itself.
ALLOWED = {layer: set(ORDER[:i]) for i, layer in enumerate(ORDER)}
ALLOWED["wire"] = {"base"}  # messages only: whoever reads one needs no loop
ALLOWED["proto"] = {"base"}
ALLOWED.update({service: set(ORDER) for service in SERVICES})
ALLOWED["cel"] = {"base", "proto", "api"}  # a language: pure, as these are
ALLOWED["server"] |= {"cel"}
ALLOWED["sim"] = {*ORDER, "controllers", "scheduler"}  # drives what decides, in virtual time; nobody knows of it but its verb
ALLOWED["cli"] = {"base", "proto", "proc", "wire", "sim"}  # verbs ask the services; they link none of their insides
ALLOWED["cli"] |= {"api", "client", "scheduler"}  # but `why`, which takes the scheduler's decision again on what the API lists
ALLOWED["main"] = {"base", "proc", "cli"}
# One header outside of src/: what the shim and the broker say to each other is written down at the shim, which uses another C library.
SHIM_PROTOCOL = "../../shim/protocol.h"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def folder_of(path):
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else "main"


def includes():
    return [(p, folder_of(p), i) for p in files("src/*.c", "src/*.h") for i in INCLUDE.findall(text(p))
            if (p, i) != ("src/wire/shim.h", SHIM_PROTOCOL)]


def test_every_folder_has_its_place():
    assert {folder_of(p) for p in files("src/*.c", "src/*.h")} <= set(ALLOWED), "give a new folder its layer in ALLOWED"


def test_every_folder_says_what_it_is_who_calls_it_and_which_rooms_it_has():
    wrong = []
    for folder in sorted({folder_of(p) for p in files("src/*.c", "src/*.h")} - {"main"}):
        path = TOP / "src" / folder / "README.md"
        readme = path.read_text() if path.is_file() else ""
        rooms = {p.split("/")[2] for p in files(f"src/{folder}/*") if len(p.split("/")) > 3}
        includes = re.search(r"^Includes: (.*)$", readme, re.M)
        named = set(includes.group(1).split()) if includes else set()
        wrong += [f"{folder}: no line {line!r}" for line in ("Called by: ", "Begin with: ") if f"\n{line}" not in readme]
        wrong += [f"{folder}: the room {r} is not named" for r in sorted(rooms) if f"| [{r}]({r}) |" not in readme]
        if ALLOWED[folder] and named != ALLOWED[folder]:
            wrong.append(f"{folder}: Includes: {sorted(named)}, allowed are {sorted(ALLOWED[folder])}")
    assert not wrong, "src/FOLDER/README.md:\n" + "\n".join(wrong)


def test_includes_point_downwards():
    wrong = [f"{p} includes {i}: {folder} may include {sorted(ALLOWED[folder])}" for p, folder, i in includes()
             if i.split("/")[0] != folder and i.split("/")[0] not in ALLOWED[folder]]
    assert not wrong, "\n".join(wrong)


def test_includes_are_written_from_the_top():
    generated = {"api/types.h", "api/tables.h", "server/build.h"}
    wrong = [f"{p}: {i}" for p, _, i in includes() if not (TOP / "src" / i).is_file() and i not in generated]
    assert not wrong, "no such file under src/ (write the folder too):\n" + "\n".join(wrong)


def test_proto_and_api_do_no_input_or_output():
    """Codecs and rules are pure: they can be fuzzed and simulated."""
    forbidden = re.compile(r'#\s*include\s+<(sys/socket|sys/epoll|netdb|uv|sys/wait|sys/mount|poll|fcntl)\.h>')
    wrong = [p for p in files("src/proto/*.[ch]", "src/api/*.[ch]") if forbidden.search(text(p))]
    assert not wrong


def test_the_shim_stands_alone():
    """It outlives every other process and links another C library: nothing of the tree gets into it."""
    assert {i for p in files("shim/*.c", "shim/*.h") for i in INCLUDE.findall(text(p))} == {"shim.h", "protocol.h"}


@pytest.fixture(scope="session")
def generated(tmp_path_factory):
    out = tmp_path_factory.mktemp("schema")
    (out / "api").mkdir()
    subprocess.run([TOP / "tools/schemac", out / "api", *sorted((TOP / "src/api/schema").glob("*.api"))], check=True)
    return out


def test_headers_say_pragma_once():
    wrong = [p for p in files("src/*.h", "shim/*.h") if not re.search(r"^#pragma once$", text(p), re.M)]
    assert not wrong


def test_every_header_compiles_alone(generated, tmp_path):
    flags = ["-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
             "-Wno-unused-function", "-Wno-unused-const-variable", "-Wno-missing-field-initializers",
             f"-I{TOP / 'src'}", f"-I{generated}"]

    def check(header):
        unit = tmp_path / (header.replace("/", "_") + ".c")
        unit.write_text(f'#include "{TOP / header}"\n')
        run = subprocess.run(["gcc", *flags, unit], capture_output=True, text=True)
        return header, run.returncode, run.stderr

    with ThreadPoolExecutor(2) as pool:
        bad = [f"{h}:\n{err}" for h, rc, err in pool.map(check, files("src/*.h", "shim/*.h")) if rc]
    assert not bad, "\n".join(bad)
    assert len(c_files()) > 100
