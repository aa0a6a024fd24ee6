# Long runs of what `make test` does for seconds.
SEED ?= 1

test-kill: build/.test ## kill -9 at 600 seeded points, and count at the issuer
	@$(AS_ROOT) env RENZHENG_KILLS=600 RENZHENG_SEED=$(SEED) $(BIN)/python -m pytest tests/hostile/kill/test_kill.py $(ARGS)

fuzz: build/.test ## coverage-guided fuzzing of every parser (MINUTES=n)
	@$(BIN)/python -m tests.hostile.fuzz_bridge all --minutes $(MINUTES)

.PHONY: test-kill fuzz
