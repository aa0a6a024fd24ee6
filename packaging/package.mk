# The Debian package. `make deb` builds for this machine, `make deb ARCH=arm64` for a Raspberry Pi.
ARCH ?= $(shell dpkg --print-architecture)

build/.system-package: requirements/apt-boot.txt | build
	@requirements/install-system-packages requirements/apt-boot.txt
	@touch $@

deb: build/.runtime build/.system-package ## build dist/renzheng_VERSION_ARCH.deb (ARCH=amd64 or arm64)
	@packaging/build-deb $(ARCH) dist

.PHONY: deb
