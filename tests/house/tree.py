"""What the tests of the house share: the files of the tree and the generated headers."""
import re
import subprocess
from functools import lru_cache
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent


@lru_cache(maxsize=None)
def files(*patterns):
    """Tracked files and new ones that are not ignored, as paths relative to the top."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns], cwd=TOP, check=True,
                         capture_output=True, text=True).stdout
    return sorted(p for p in set(out.splitlines()) if (TOP / p).is_file())


@lru_cache(maxsize=None)
def text(path):
    return (TOP / path).read_text(errors="replace")


def c_files():
    return files("*.c", "*.h")


@lru_cache(maxsize=None)
def code(path):
    """The text with comments and the contents of strings blanked, lines kept."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.S)

    def blank(m):
        s = m.group(0)
        return '""' if s[0] == '"' else "''" if s[0] == "'" else "\n" * s.count("\n")

    return token.sub(blank, text(path))


def functions(path):
    """(name, number of lines) of every function body, by the layout that clang-format gives: it ends with } in column 0."""
    found, start, name = [], None, None
    head = re.compile(r"(\w+)\s*\(")
    lines = code(path).split("\n")
    declaration = []
    for i, line in enumerate(lines):
        if start is None:
            declaration.append(line)
            if line.rstrip().endswith(("{", ";", "}")) or line.startswith("#"):
                joined = " ".join(declaration)
                declaration = []
                call = [m for m in head.findall(joined) if m not in ("__attribute__", "format", "section", "printf")]
                if line.rstrip().endswith("{") and call and "=" not in joined.split("(")[0]:
                    start = i
                    name = joined[joined.index("TEST(") + 5:].split(")")[0] if "TEST(" in joined else call[0]
        elif line.startswith("}"):
            found.append((name, i - start + 1))
            start = None
    return found


def build_dir():
    """The build that `make` makes, or the one that ATOLL_BUILD names."""
    import os
    return Path(os.environ.get("ATOLL_BUILD", TOP / "build"))
