# The front door. Everything is built by meson and ninja; these targets only spare you their options.
#
#   make            build into build/            make check      all tests and checks
#   make demo       see it work                  make bench      measure
#   make install    PREFIX=/usr/local DESTDIR=   make soak       run for hours, watch for growth
#   make uninstall  the same PREFIX and DESTDIR  make format     lay out the C files
#   make clean      remove everything built

PREFIX ?= /usr/local
DESTDIR ?=
BUILD := build

# A shell other than bash hands "PREFIX=~/.local" over as it stands.
prefix := $(patsubst ~%,$(HOME)%,$(PREFIX))

.PHONY: all demo check bench soak install uninstall format clean
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@tools/install-deps build
	@meson setup $(BUILD) --prefix='$(prefix)' -Dtests=false

demo: all
	@tools/demo

check:
	@tools/check

bench:
	@tools/bench

soak:
	@tools/soak

install: $(BUILD)/build.ninja
	@tools/install-tree $(BUILD) '$(prefix)' '$(DESTDIR)'

uninstall: $(BUILD)/build.ninja
	@tools/uninstall-tree $(BUILD) '$(prefix)' '$(DESTDIR)'

format:
	@tools/c-files | xargs clang-format -i

clean:
	rm -rf $(BUILD) build-check build-bench build-soak
