"""What is wrong with the terminal's own keys, certificates, anchors or clock."""

from agent.failures import RenzhengError


class TrustError(RenzhengError):
    """Something that the terminal needs in order to be believed, or to believe, is missing or wrong."""
