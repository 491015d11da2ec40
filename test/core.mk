# Builds what links src/core without a server: unit tests and fuzzers.
# No server header is on any path here, which is also the proof that there is none.
#
#   make -f test/core.mk unit unit-san tsan fuzz OUT=dir

OUT ?= .run/core
CORE := $(sort $(wildcard src/core/*.cpp src/core/*/*.cpp))
UNIT := $(sort $(wildcard test/unit/*.cpp))
# For the thread sanitizer: what is used by several at the same time, and the tests that do so.
SHARED_CORE := src/core/read_counts.cpp src/core/ring.cpp
SHARED_UNIT := $(sort $(wildcard test/unit/*_stress_test.cpp))
FUZZ := $(sort $(wildcard test/fuzz/*_fuzz.cpp))
LIBS := -lsimdjson

FLAGS := -std=c++20 -Wall -Wextra -Werror -g -Iinclude -Itest/unit -DEAV_CORE_ONLY -MMD -MP
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

.PHONY: unit unit-san tsan fuzz
unit: $(OUT)/unit/all
unit-san: $(OUT)/unit-san/all
tsan: $(OUT)/tsan/all
fuzz: $(FUZZ:test/fuzz/%.cpp=$(OUT)/fuzz/%)

# variant NAME, COMPILER AND FLAGS: the sources of core and of the tests, as a
# kind of object files of their own.
define variant
$(OUT)/$(1)/%.o: %.cpp
	@mkdir -p $$(@D)
	$(2) $(FLAGS) -c -o $$@ $$<
endef
# KEEP_OLD_BYTES: as the extension is compiled (Makefile).
KEEP_OLD_BYTES := $(if $(findstring clang,$(shell $(CXX) --version)),,-fno-lifetime-dse)
$(eval $(call variant,unit,$(CXX) -O2 $(KEEP_OLD_BYTES)))
# gcc sees uninitialised variables in the standard library once it is instrumented.
$(eval $(call variant,unit-san,$(CXX) -O1 $(KEEP_OLD_BYTES) -Wno-maybe-uninitialized -D_GLIBCXX_ASSERTIONS $(SANITIZE)))
$(eval $(call variant,tsan,$(CXX) -O1 $(KEEP_OLD_BYTES) -fsanitize=thread -fno-omit-frame-pointer))
$(eval $(call variant,fuzz,clang++ -O1 -D_GLIBCXX_ASSERTIONS -fsanitize=fuzzer-no-link $(SANITIZE)))

objects = $(patsubst %.cpp,$(OUT)/$(1)/%.o,$(2))

$(OUT)/unit/all: $(call objects,unit,$(CORE) $(UNIT))
	$(CXX) -o $@ $^ -lgtest -lgtest_main $(LIBS) -pthread
$(OUT)/unit-san/all: $(call objects,unit-san,$(CORE) $(UNIT))
	$(CXX) $(SANITIZE) -o $@ $^ -lgtest -lgtest_main $(LIBS) -pthread
$(OUT)/tsan/all: $(call objects,tsan,$(SHARED_CORE) $(SHARED_UNIT))
	$(CXX) -fsanitize=thread -o $@ $^ -lgtest -lgtest_main -pthread
$(OUT)/fuzz/%_fuzz: $(OUT)/fuzz/test/fuzz/%_fuzz.o $(call objects,fuzz,$(CORE))
	clang++ -fsanitize=fuzzer $(SANITIZE) -o $@ $^ $(LIBS)

.SECONDARY:
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
