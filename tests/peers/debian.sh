# Debian's source packages without touching the system's package lists; sourced by the kits. Wants $PEER_HOME.
APT=()
# Leaves in APT the options that make the source package $1 visible; the system's own list is used when it has deb-src.
use_deb_src() {
  apt-cache showsrc "$1" 2>/dev/null | grep -q "^Package: $1\$" && return
  local a=$PEER_HOME/apt code f; code=$(. /etc/os-release; echo "$VERSION_CODENAME")
  rm -rf "$a"; mkdir -p "$a/parts" "$a/lists/partial"; : >"$a/one.list"
  for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do [ -f "$f" ] || continue
    { grep -E "^deb[[:space:]]+(\[[^]]*\][[:space:]]*)?[^[:space:]]+[[:space:]]+$code(-security|-updates)?[[:space:]]" "$f" || true; } | sed -E 's/^deb/deb-src/' >>"$a/one.list"
  done
  for f in /etc/apt/sources.list.d/*.sources; do [ -f "$f" ] || continue
    awk -v RS= -v c="$code" '$0 ~ "(^|\n)Types:[^\n]*deb" && $0 ~ "(^|\n)Suites:[^\n]*[ \t]" c "(-security|-updates)?([ \t\n]|$)" {sub(/Types:[^\n]*/,"Types: deb-src"); print $0 "\n"}' "$f" >>"$a/parts/src.sources"
  done
  APT=(-o Dir::Etc::sourcelist="$a/one.list" -o Dir::Etc::sourceparts="$a/parts" -o Dir::State::lists="$a/lists")
  echo "no deb-src in the system's lists: using a private copy of them under $a"
  apt-get -q "${APT[@]}" update
  apt-cache "${APT[@]}" showsrc "$1" | grep -q "^Package: $1\$" || { echo "source package $1 not found"; return 1; }
}
fresh() { "$@" || { echo "trying again with fresh package lists"; apt-get -q "${APT[@]}" update; "$@"; }; }
