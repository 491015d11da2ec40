# Builds what generates load, and the benchmark of the parser: make -f test/bench/bench.mk OUT=dir

PG_CONFIG ?= pg_config
OUT ?= .run/bench
HERE := $(dir $(lastword $(MAKEFILE_LIST)))
CORE := $(sort $(wildcard src/core/*.cpp))
FLAGS := -std=c++20 -O2 -Wall -Wextra -Werror

.PHONY: all fleet
all: fleet $(OUT)/batches $(OUT)/parse
fleet: $(OUT)/fleet

$(OUT)/fleet $(OUT)/batches: $(OUT)/%: $(HERE)%.cpp $(wildcard $(HERE)fleet/*.hpp)
	@mkdir -p $(@D)
	$(CXX) $(FLAGS) -I$(shell $(PG_CONFIG) --includedir) -o $@ $< \
		-L$(shell $(PG_CONFIG) --libdir) -lpq -pthread

# As the library is built, with the same optimization.
$(OUT)/core/%.o: src/core/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(FLAGS) -fPIC -DEAV_CORE_ONLY -Iinclude -MMD -MP -c -o $@ $<
$(OUT)/parse: $(HERE)parse.cpp $(CORE:src/core/%.cpp=$(OUT)/core/%.o)
	@mkdir -p $(@D)
	$(CXX) $(FLAGS) -Iinclude -o $@ $^ -lsimdjson

-include $(CORE:src/core/%.cpp=$(OUT)/core/%.d)
