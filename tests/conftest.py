"""What holds for every test."""

from firmware_bridge.simulator.stack import reserve

# libpcsclite remembers the first daemon that a process asks for: no test meets the machine's own pcscd.
reserve()
