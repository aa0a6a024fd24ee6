# Boot tests: the package in Debian roots under systemd-nspawn. Roots are made once and kept in build/boot (1.6 GB).
RELEASES ?= bookworm trixie

build/boot:
	@mkdir -p $@

test-boot: build/.test build/.system-package | build/boot ## boot the package on Debian 12 and 13 and break it in every way
	@DEB_COMPRESSION="-Zgzip -z1" packaging/build-deb $(shell dpkg --print-architecture) build/boot
	@$(AS_ROOT) env RELEASES="$(RELEASES)" tests/system/boot/make-roots build/boot
	@$(AS_ROOT) env BOOT_ROOTS=$(CURDIR)/build/boot $(BIN)/python -m pytest tests/system/boot/test_package.py $(ARGS)
	@$(AS_ROOT) env BOOT_ROOTS=$(CURDIR)/build/boot FAULTS_PAGE=docs/faults.md FAULTS_KEEP="$(ARGS)" unshare --net --mount -- $(BIN)/python -m pytest tests/system/boot/test_boot_*.py $(ARGS)

# The emulated board: roots of another architecture, a gigabyte and a half each, are made once and kept in build/arm64.
ARM64_RELEASES ?= bookworm
SLOWNESS ?= 128

build/.system-arm64: requirements/apt-arm64.txt | build
	@requirements/install-system-packages requirements/apt-arm64.txt
	@touch $@

test-arm64: build/.test build/.system-package build/.system-arm64 ## boot the arm64 package on an emulated board (half an hour)
	@mkdir -p build/arm64
	@DEB_COMPRESSION="-Zgzip -z1" packaging/build-deb arm64 build/arm64
	@$(AS_ROOT) env RELEASES="$(ARM64_RELEASES)" BOARD=arm64 tests/system/boot/make-roots build/arm64
	@$(AS_ROOT) env RELEASES="$(ARM64_RELEASES)" SLOWNESS=$(SLOWNESS) BOOT_ROOTS=$(CURDIR)/build/arm64 \
		unshare --net --mount --pid --fork --kill-child --mount-proc -- $(BIN)/python -m pytest tests/system/boot/test_arm64.py $(ARGS)

test-v4l2: build/.test build/.system-package | build/boot ## a V4L2 camera on Debian's kernel in an emulated machine (slow)
	@requirements/install-system-packages requirements/apt-v4l2.txt
	@DEB_COMPRESSION="-Zgzip -z1" packaging/build-deb $(shell dpkg --print-architecture) build/boot
	@$(AS_ROOT) env RELEASES=trixie tests/system/boot/make-roots build/boot
	@$(AS_ROOT) tests/system/boot/make-v4l2-root build/boot
	@$(AS_ROOT) env BOOT_ROOTS=$(CURDIR)/build/boot $(BIN)/python -m pytest tests/system/boot/test_v4l2.py $(ARGS)

soak: build/.test ## verifications with random faults for MINUTES=n; fails when memory or open files grow
	@$(AS_ROOT) $(BIN)/python -m tests.bench.soak --minutes $(MINUTES)

.PHONY: test-boot test-arm64 test-v4l2 soak
