"""docs/conformance.md says what is: every spec that it names is one of the suite, and its table adds up to the list below it."""
import re
import sys

from tree import TOP

sys.path.insert(0, str(TOP / "tests/peers"))
import conformance_table  # noqa: E402

TEXT = (TOP / "docs/conformance.md").read_text()


def test_named_specs_are_of_the_suite():
    suite = {name.strip() for name in conformance_table.NAMES}
    named = conformance_table.named(TEXT)
    assert named and not [n for n in named if n not in suite]
    assert len(set(named)) == len(named)


def test_the_table_adds_up():
    rows = {m[0]: [int(x) for x in m[1:]] for m in re.findall(r"^\| ([a-z0-9.-]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", TEXT, re.M)}
    total = rows.pop("all")
    assert total == [sum(column) for column in zip(*rows.values())]
    assert total[0] == len(conformance_table.NAMES) == sum(total[1:])
    assert total[2] + total[3] == len(conformance_table.named(TEXT))
