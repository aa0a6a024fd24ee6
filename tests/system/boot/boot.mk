# Boot tests: Debian roots under systemd-nspawn.
