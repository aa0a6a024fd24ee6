# The kill test in full: `make test-kill KILLS=600 SEED=7`. Every `make test` does a shorter one.
KILLS ?= 600
SEED ?= 7

.PHONY: test-kill
test-kill: build/.test ## kill -9 agent, broker and issuer KILLS times; count at the issuer (some minutes)
	@$(AS_ROOT) env RENZHENG_KILLS=$(KILLS) RENZHENG_SEED=$(SEED) RENZHENG_CONFIG_POINTS=100000 \
		$(BIN)/python -m pytest -o timeout=1800 tests/hostile/kill
