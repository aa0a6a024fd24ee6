"""Electronic travel documents (ICAO Doc 9303, parts 3, 4, 5, 10, 11, 12): access, data, authentication.

`reading.read_chip` is the whole of it: a flat list of steps over one `Chip` state. Everything below takes a
`firmware_bridge.apdu` channel or plain bytes, so that a dump on disk and a chip in a reader go the same way.
"""
