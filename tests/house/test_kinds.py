"""Each kind of src/api/schema has a manifest that tests/e2e/test_kinds.py takes through its life."""
import sys

from tree import TOP

sys.path.insert(0, str(TOP / "tests/e2e"))
from kind_manifests import MANIFESTS, VIRTUAL  # noqa: E402


def kinds():
    """(apiVersion, kind) → its words, of every .api file."""
    found = {}
    for path in sorted((TOP / "src/api/schema").glob("*.api")):
        group = version = None
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if line.startswith("group "):
                group, version = words[1:3]
            elif line.startswith("kind "):
                found[version if group == "core" else f"{group}/{version}", words[1]] = words[3:]
    return found


def test_each_kind_has_a_manifest():
    missing = {k for k, words in kinds().items() if "virtual" not in words} - set(MANIFESTS)
    assert not missing, f"tests/e2e/kind_manifests.py lacks {sorted(missing)}"


def test_each_manifest_has_a_kind():
    assert not set(MANIFESTS) - set(kinds())


def test_kinds_without_storage_are_listed():
    assert {kind for (_, kind), words in kinds().items() if "virtual" in words} <= VIRTUAL
