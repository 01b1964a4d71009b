#!/bin/bash
# Builds Prometheus 2.42 with its Kubernetes discovery, from Debian's source packages, into $PEER_HOME/bin/prometheus.
#   build.sh [-f]      -f: build again even if it is there.      build.sh clean-cache: drop all but the program
# Environment: PEER_HOME; K8S_HOME (the kit beside this one); GOCACHE (default $PEER_HOME/gocache); JOBS (go build -p).
set -euo pipefail
KIT=$(cd "$(dirname "$0")" && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/peers
K8S_HOME=${K8S_HOME:-$CACHE/k8s-1.20}; PEER_HOME=${PEER_HOME:-$CACHE/prometheus-2.42}
case $PEER_HOME in /*[[:space:]]*|[!/]*) echo "PEER_HOME must be an absolute path without white space" >&2; exit 2 ;; esac
. "$KIT/../debian.sh"
BIN=$PEER_HOME/bin; LOG=$PEER_HOME/log; DL=$PEER_HOME/dl; LIBS=$PEER_HOME/debian; G=$PEER_HOME/gopath/src; WANT=2.42.0
SRC=$G/github.com/prometheus/prometheus
export GOPATH=$PEER_HOME/gopath:$LIBS/usr/share/gocode GO111MODULE=off GOFLAGS=-trimpath GOPROXY=off GOSUMDB=off GOTOOLCHAIN=local
export CGO_ENABLED=0 GOCACHE=${GOCACHE:-$PEER_HOME/gocache}
# What the build dependencies name only for the discovery of other clouds, and for tests.
OTHERS='azure|godo|docker|gophercloud|hcloud|ionos|kolo|ovh|scaleway|vultr|zookeeper|sip13'
# Where packages give a choice: the older packagings of github.com/golang/protobuf, in the same place as 1.5.
ALTERNATIVES='golang-goprotobuf-dev|golang-github-golang-protobuf-1-3-dev'
# What client-go needs beyond Prometheus' own build dependencies.
CLIENT='golang-gopkg-inf.v0-dev golang-github-json-iterator-go-dev golang-github-google-gofuzz-dev golang-github-imdario-mergo-dev golang-golang-x-term-dev'

do_deps() {
  local p m=(); for p in golang-go patch dpkg-dev xz-utils; do dpkg-query -W -f '${Status}' $p 2>/dev/null | grep -q 'ok installed' || m+=($p); done
  [ ${#m[@]} = 0 ] || { apt-get -q update; DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${m[@]}"; }
  PEER_HOME=$K8S_HOME GOCACHE="" bash "$KIT/../k8s-1.20/build.sh" source
}
do_source() {
  use_deb_src prometheus; rm -rf "$DL" "$G"; mkdir -p "$DL" "$(dirname "$SRC")"; cd "$DL"
  fresh apt-get -q "${APT[@]}" source --download-only prometheus
  local d; d=$(ls prometheus_*.dsc); sed -n 's/^Version: //p' "$d" | grep -q "^$WANT" || { echo "$d is not Prometheus $WANT"; return 1; }
  dpkg-source --no-check -x "$d" "$SRC"
}
do_libraries() { # unpacked, not installed: nothing outside PEER_HOME changes
  local roots; roots=$(sed -n '/^Build-Depends/,/^Standards/p' "$SRC/debian/control" | grep -o 'golang-[a-z0-9.-]*-dev' | grep -Ev "$OTHERS")
  rm -rf "$LIBS" "$DL/debs"; mkdir -p "$LIBS" "$DL/debs"; cd "$DL/debs"
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances $roots $CLIENT |
    grep -E '^golang-.*-dev$' | grep -vxE "$ALTERNATIVES" | LC_ALL=C sort -u >../libraries.txt
  fresh apt-get -q download $(cat ../libraries.txt)
  local f; for f in *.deb; do dpkg -x "$f" "$LIBS"; done; rm -rf "$DL/debs"
}
do_client() { # client-go 0.20 and what it alone uses; its logging stands on an older logr than OpenTelemetry's
  local k=$K8S_HOME/gopath/src/k8s.io/kubernetes m
  mkdir -p "$G/k8s.io" "$G/sigs.k8s.io" "$G/github.com/googleapis"
  for m in api apimachinery client-go; do cp -r "$k/staging/src/k8s.io/$m" "$G/k8s.io/"; done
  for m in k8s.io/klog k8s.io/utils sigs.k8s.io/structured-merge-diff sigs.k8s.io/yaml github.com/googleapis/gnostic; do cp -r "$k/vendor/$m" "$G/${m%/*}/"; done
  mkdir -p "$G/k8s.io/klog/v2/vendor/github.com"; cp -r "$k/vendor/github.com/go-logr" "$G/k8s.io/klog/v2/vendor/github.com/"
  slices_v1; newer_calls
}
# What Prometheus calls of client-go 0.26 that 0.20 has in another form.
newer_calls() {
  sed -i -E -e 's/^(\tAddEventHandler\(handler ResourceEventHandler\))$/\1 (interface{}, error)/' \
    -e 's/^(func \(s \*sharedIndexInformer\) AddEventHandler\(handler ResourceEventHandler\)) \{/\1 (interface{}, error) {/' \
    -e 's/^\ts.AddEventHandlerWithResyncPeriod\(handler, s.defaultEventHandlerResyncPeriod\)$/&\n\treturn nil, nil/' "$G/k8s.io/client-go/tools/cache/shared_informer.go"
  printf 'package v1\n\nconst EndpointsOverCapacity = "endpoints.kubernetes.io/over-capacity"\n' >"$G/k8s.io/api/core/v1/over_capacity.go"
  sed -i -E 's/(Observe|Increment)\((_ )?(ctx )?context.Context, /\1(/; /^\t"context"$/d' "$SRC/discovery/kubernetes/client_metrics.go"
}
# discovery.k8s.io/v1 is one release younger than client-go 0.20. Its messages are v1beta1's, field for field, but for the
# name of topology; so v1 is made out of v1beta1.
slices_v1() {
  local a=$G/k8s.io/api/discovery c=$G/k8s.io/client-go/kubernetes
  cp -r "$a/v1beta1" "$a/v1"; rm "$a/v1/zz_generated.prerelease-lifecycle.go"
  sed -i 's/v1beta1/v1/g' "$a"/v1/*.go
  sed -i -E 's/\bTopology( map\[string\]string)/DeprecatedTopology\1/; s/\.Topology\b/.DeprecatedTopology/g' "$a"/v1/{types,generated.pb,zz_generated.deepcopy}.go
  cp -r "$c/typed/discovery/v1beta1" "$c/typed/discovery/v1"; rm -rf "$c/typed/discovery/v1/fake"
  sed -i 's/^package v1beta1/package v1/; s#api/discovery/v1beta1#api/discovery/v1#; s/DiscoveryV1beta1/DiscoveryV1/g' "$c"/typed/discovery/v1/*.go
  sed -i -E '/discoveryv1beta1[ .]/{h;s/v1beta1/v1/g;H;g}' "$c/scheme/register.go"
  sed -i -E -e '/^\tdiscoveryv1beta1 "/b twice' -e '/^\tDiscoveryV1beta1\(\)/b twice' -e '/^\tdiscoveryV1beta1 +\*/b twice' -e '/^\tcs.discoveryV1beta1 = /b twice' -e b \
    -e ':twice' -e 'h;s/V1beta1/V1/g;s/v1beta1/v1/g;H;g' "$c/clientset.go"
  sed -i 's/^\tcs.discoveryV1beta1, err = .*/\tif cs.discoveryV1, err = discoveryv1.NewForConfig(\&configShallowCopy); err != nil {\n\t\treturn nil, err\n\t}\n&/' "$c/clientset.go"
  printf '\nfunc (c *Clientset) DiscoveryV1() discoveryv1.DiscoveryV1Interface {\n\treturn c.discoveryV1\n}\n' >>"$c/clientset.go"
  gofmt -l "$a/v1" "$c/clientset.go" "$c/scheme" "$c/typed/discovery/v1"
}
do_prometheus() {
  cd "$SRC"
  # Debian's 01-Disable_kubernetes.patch excludes these files; discovery through the other clouds is left out instead.
  sed -i '/^\/\/go:build ignore$/d; /^\/\/ +build ignore$/d; /client-go\/plugin\/pkg\/client\/auth\/gcp"/d' discovery/kubernetes/*.go
  printf 'package plugins\n\nimport (\n\t_ "github.com/prometheus/prometheus/discovery/dns"\n\t_ "github.com/prometheus/prometheus/discovery/kubernetes"\n)\n' >plugins/plugins.go
  mkdir -p "$BIN"
  go build ${JOBS:+-p $JOBS} -ldflags "-s -w -X github.com/prometheus/common/version.Version=$WANT" -o "$BIN/prometheus.new" ./cmd/prometheus
  mv "$BIN/prometheus.new" "$BIN/prometheus"; "$BIN/prometheus" --version
}
step() { # name command...
  local n=$1 s=$SECONDS rc; shift; printf '%-26s' "$n"
  set +e; ( set -e; "$@" ) >"$LOG/build-$n.log" 2>&1 </dev/null; rc=$?; set -e
  if [ $rc = 0 ]; then echo "ok     $((SECONDS-s)) s"; else
    echo "FAILED $((SECONDS-s)) s (exit $rc)"; echo "--- end of $LOG/build-$n.log"; tail -n 20 "$LOG/build-$n.log"; exit 1; fi
}
case ${1:-} in
  '') [ ! -x "$BIN/prometheus" ] || { echo "$BIN/prometheus is up to date"; exit; } ;;
  -f) ;;
  clean-cache) rm -rf "$GOCACHE" "$DL" "$LIBS" "$PEER_HOME/gopath" "$PEER_HOME/apt"; echo "removed all but $BIN and $LOG"; exit ;;
  *) sed -n '2,4s/^# \{0,1\}//p' "$0"; [ "$1" = -h ] || [ "$1" = --help ] || exit 2; exit ;;
esac
mkdir -p "$LOG"; echo "building into $PEER_HOME"
for t in deps source libraries client prometheus; do step $t do_$t; done
echo "done in $SECONDS s"
