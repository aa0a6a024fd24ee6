"""The targets' names, apart from the targets: the fuzzer must start before the code that it watches is imported."""

from pathlib import Path

NAMES = ("tlv", "lds", "sod", "dg2", "secure-messaging", "chip", "trust", "samv", "scanner")
#: Inputs that once broke a target, in a folder for each.
FOUND = Path(__file__).parent / "found"
