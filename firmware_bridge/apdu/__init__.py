"""Commands to a chip and what comes back (ISO/IEC 7816-4), with no knowledge of any operating system or reader.

The seam is `Transport.send_and_receive(bytes) -> (bytes, sw)`. Above it stand small processors that share one method,
`transmit(Command) -> Response`: `PlainChannel` (encoding, command chaining, GET RESPONSE), and `SecureChannel`
(secure messaging) on top of it.
"""
