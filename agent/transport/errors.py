"""What is wrong between the terminal and the issuer."""

from agent.failures import RenzhengError


class TransportError(RenzhengError):
    """A message was not carried, or not answered, in time; the code says why."""
