"""The SAM-V module of the second-generation resident identity card, over a serial line.

    with contextlib.closing(SamvReader("id-card", "/dev/ttyUSB0")) as reader:   # or "usb:067b:2303"
        event = reader.wait(timeout=5)
        document = reader.read(ReadRequest())

The module authenticates the card and hands out text and photo; the photo stays opaque (WLT) unless a licensed decoder
is installed (`portraits`). docs/readers.md says which facts of the protocol are certain.
"""

from firmware_bridge.samv.reader import SamvReader

__all__ = ["SamvReader"]
