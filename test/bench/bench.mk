# Builds the load generator: make -f test/bench/bench.mk OUT=dir

PG_CONFIG ?= pg_config
OUT ?= .run/bench
HERE := $(dir $(lastword $(MAKEFILE_LIST)))

$(OUT)/fleet: $(HERE)fleet.cpp $(wildcard $(HERE)fleet/*.hpp)
	@mkdir -p $(@D)
	$(CXX) -std=c++20 -O2 -Wall -Wextra -Werror -I$(shell $(PG_CONFIG) --includedir) -o $@ $< \
		-L$(shell $(PG_CONFIG) --libdir) -lpq -pthread
