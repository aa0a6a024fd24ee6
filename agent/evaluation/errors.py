"""What can be wrong with a request to measure."""

from agent.failures import RenzhengError


class EvaluationError(RenzhengError):
    """The samples cannot carry what was asked: a missing column, too few pictures, no folder to write to."""
