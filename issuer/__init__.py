"""The reference central issuer: the other end of the wire."""
