# Thin front of meson. `sudo make run` and `sudo make test` are the two commands; everything else is a part of them.
BUILD ?= build
ROOT ?= .atoll
MESON_FLAGS ?=
PYTHON := /usr/bin/python3

.PHONY: all setup build run demo-quotes test e2e unit bench conformance prometheus crash sim fuzz install fmt lint clean

all: build

setup:
	@tools/setup

$(BUILD)/build.ninja: | setup
	@meson setup $(BUILD) $(MESON_FLAGS) >/dev/null

build: setup $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

run: build
	@examples/hello/run --root $(ROOT) --build $(BUILD)

# Messaging between five organisations: examples/quotes.
demo-quotes: build
	@examples/quotes/run --build $(BUILD)

test: setup
	@$(PYTHON) tests/run.py

unit: build
	@$(PYTHON) tests/run.py unit

e2e: build
	@$(PYTHON) tests/run.py e2e

bench: build
	@$(PYTHON) bench/run.py $(BENCH)

# Row 13 alone: messaging beside ZeroMQ, nng, nanomsg, nats-server and redis; two minutes.
bench-sp: build
	@$(PYTHON) bench/row_sp.py --build $(BUILD) $(BENCH)

# Upstream's suite of 1.20, built from Debian's source into a cache outside the tree; FOCUS and SKIP are regular expressions.
FOCUS ?=
SKIP ?=
conformance: build
	@$(PYTHON) tests/peers/conformance.py --focus '$(FOCUS)' --skip '$(SKIP)'

# Prometheus with Kubernetes discovery (Debian's has none), built from Debian's source into the same cache, for the e2e test.
prometheus:
	@tests/peers/prometheus/build.sh

# Crash consistency: kill -9, power failure, failing I/O, histories and watches. `make crash SEED=7` repeats a run.
SEED ?= 1
crash: build
	@$(PYTHON) tests/crash/run.py --seed $(SEED)

# The simulator: SEEDS plans and then more, until each controller has had three in ten of that number. `atoll sim --seed N` repeats one.
SEEDS ?= 1000
sim: build
	@$(BUILD)/atoll sim --seeds-file tests/sim/seeds
	@$(BUILD)/atoll sim --plans $(SEEDS) --each $$(( $(SEEDS) * 3 / 10 ))

FUZZ_SECONDS ?= 60
fuzz: setup
	@$(PYTHON) tests/run.py fuzz --seconds $(FUZZ_SECONDS)

install: build
	@meson install -C $(BUILD)

fmt:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

lint: setup
	@$(PYTHON) tests/run.py lint

clean:
	@rm -rf $(BUILD) build-*
