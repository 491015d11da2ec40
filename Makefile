# eav_ext: build, install, demo, tests.
#
#   make, make install     PG_CONFIG=/path/to/pg_config chooses the server (15 to 18)
#   make demo, demo-stop   a private cluster with the extension and some telemetry
#   make test              everything; one suite: test/run.sh SUITE [NAME ...]
#   make chaos MINUTES=60  servers suffer under load (docs/chaos.md); SEED=n repeats a run
#   make unit, lint, bench, format, bootstrap
#
# WERROR=1 turns warnings into errors. BUILD=dir puts the objects elsewhere.
# STOP_POINTS=1 is for tests of interleavings, and nothing else (include/eav/stop_point.hpp).

PG_CONFIG ?= pg_config
BUILD ?= build
export PG_CONFIG

.DEFAULT_GOAL := all
.PHONY: demo demo-stop test chaos bench unit lint format bootstrap objects FORCE

# These need no server at parse time: each installs what is missing by itself.
demo:
	infra/bootstrap.sh demo
	infra/demo/run.sh
demo-stop:
	infra/demo/stop.sh
test:
	test/run.sh
chaos:
	test/run.sh chaos
unit:
	test/run.sh unit
lint:
	test/run.sh checks
bench:
	infra/bootstrap.sh demo
	test/bench/run.sh
format:
	infra/bootstrap.sh lint
	find src include test -name '*.cpp' -o -name '*.hpp' | xargs clang-format -i
bootstrap:
	infra/bootstrap.sh test

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
PG_HEADER := $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres.h
ifeq ($(and $(wildcard $(PGXS)),$(wildcard $(PG_HEADER))),)

# No server headers yet: install them, then start again, once.
.PHONY: all install uninstall
all install uninstall objects:
ifdef EAV_BOOTSTRAPPED
	$(error '$(PG_CONFIG)' has no PGXS or no headers: set PG_CONFIG to that of a server with both)
endif
	infra/bootstrap.sh build
	$(MAKE) EAV_BOOTSTRAPPED=1 $@
clean:
	rm -rf $(BUILD) eav_ext.so

else

EXTENSION = eav_ext
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" eav_ext.control)
MODULE_big = eav_ext
SOURCES := $(sort $(shell find src -name '*.cpp' 2>/dev/null))
OBJS := $(SOURCES:src/%.cpp=$(BUILD)/%.o)
EXTENSION_SQL := $(BUILD)/eav_ext--$(EXTVERSION).sql
# Released versions, and the way from each to this one.
DATA = $(wildcard sql/released/eav_ext--*.sql)
UPGRADES := $(patsubst sql/upgrade/%,$(BUILD)/eav_ext--%,$(wildcard sql/upgrade/*--$(EXTVERSION).sql))
DATA_built = $(EXTENSION_SQL) $(UPGRADES)
# A server process may hold other C++ libraries: only what the server looks up by
# name leaves ours.
SHLIB_LINK = -lsimdjson -Wl,--version-script=eav_ext.map
EXTRA_CLEAN = $(BUILD)

# No LLVM bitcode: the JIT could inline nothing of ours, and it costs a second
# compilation of every file.
override with_llvm = no

include $(PGXS)

# PGXS links with the C compiler; ours is a C++ library.
COMPILER = $(CXX) $(CXXFLAGS)
eav_ext.so: eav_ext.map

# The server's headers are system headers: warnings concern our code only.
PG_INCLUDES := $(patsubst -I%,-isystem %,$(filter-out -I. -I./ -I/usr/include,$(filter -I%,$(CPPFLAGS))))
PG_DEFINES := $(filter-out -I%,$(CPPFLAGS))
C_ONLY_FLAGS := -Wmissing-prototypes -Wstrict-prototypes -Wold-style-definition \
	-Wdeclaration-after-statement -Wno-declaration-after-statement
# A constructor of Boost's lists reads what the memory held before it, the tag of a node, which is
# indeterminate to a compiler that takes the object's life to begin with the allocation (GCC 16).
KEEP_OLD_BYTES := $(if $(findstring clang,$(shell $(CXX) --version)),,-fno-lifetime-dse)
OUR_FLAGS := -std=c++20 -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) $(KEEP_OLD_BYTES) \
	$(if $(filter 1,$(STOP_POINTS)),-DEAV_STOP_POINTS) -Iinclude
COMPILE_CORE = $(CXX) $(filter-out $(C_ONLY_FLAGS),$(CXXFLAGS)) $(PG_DEFINES) $(OUR_FLAGS)
COMPILE_PG = $(COMPILE_CORE) $(PG_INCLUDES)

# What clang-tidy has to know (test/checks/tidy.sh).
LINT_FLAGS := -std=c++20 -Wall -Wextra -Wno-unknown-warning-option -D_GNU_SOURCE -Iinclude \
	-DEAV_VERSION=$(EXTVERSION) $(PG_INCLUDES)
print-%:
	@echo '$($*)'

objects: $(OBJS)

# src/core sees no header of the server: a file that includes one does not compile.
$(BUILD)/core/%.o: src/core/%.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE_CORE) -DEAV_CORE_ONLY -MMD -MP -c -o $@ $<

$(BUILD)/%.o: src/%.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE_PG) -MMD -MP -c -o $@ $<

$(BUILD)/pg/library.o: COMPILE_PG += -DEAV_VERSION=$(EXTVERSION)
$(BUILD)/pg/library.o: eav_ext.control

# Other flags, or another server: everything anew.
$(BUILD)/flags: FORCE
	$(shell mkdir -p $(@D))$(file >$@.new,PostgreSQL $(VERSION): $(COMPILE_PG))
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# The parts in order, each under its name. Always made, replaced when it differs:
# time stamps would miss a part that was removed.
$(EXTENSION_SQL): FORCE
	@mkdir -p $(@D)
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION eav_ext CASCADE" to load this file. \quit'; \
	   for part in sql/[0-9][0-9]_*.sql; do printf '\n-- %s\n\n' "$$part"; cat "$$part"; done; \
	 } >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# What is new since a released version; see the script.
UPGRADE_PARTS := sql/upgrade/begin.sql sql/upgrade/end.sql
$(BUILD)/eav_ext--%--$(EXTVERSION).sql: sql/released/eav_ext--%.sql sql/upgrade/%--$(EXTVERSION).sql \
		$(EXTENSION_SQL) sql/upgrade/differences.awk $(UPGRADE_PARTS)
	awk -f sql/upgrade/differences.awk $(wordlist 1,3,$^) >$@.by_comparison
	cat sql/upgrade/begin.sql $@.by_comparison sql/upgrade/end.sql >$@.new
	@rm $@.by_comparison && mv $@.new $@

-include $(OBJS:.o=.d)

endif
