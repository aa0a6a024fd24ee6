"""Serial bar-code readers, MRZ swipe readers, and codes in camera pictures.

    with contextlib.closing(ScannerReader("scanner", "/dev/ttyACM0", terminator="\\r")) as scanner:
        event = scanner.wait(timeout=5)                       # SCANNED, with the text
        key = codes.access_key(event.text, today=…)           # the chip's key, if the text is an MRZ or a CAN

`codes.find_codes(picture)` finds QR and other codes in a picture (an array) by zxing-cpp.
"""

from firmware_bridge.scanner.reader import ScannerReader

__all__ = ["ScannerReader"]
