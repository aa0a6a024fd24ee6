"""The retained status of a terminal: for whoever watches two hundred of them. JSON, so that any dashboard reads it.

It is not signed: the broker's access rules say whose it is, and nothing is decided by it. The shape is the payload of
`status` in asyncapi.yaml.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from agent.wire.errors import Fault, WireError
from agent.wire.message import TOKEN

LIMIT = 8 * 1024
CONTENT_TYPE = "application/json"

_Part = Annotated[str, StringConstraints(pattern=r"\A[a-z0-9 -]{1,64}\z")]
_Code = Annotated[str, TOKEN]


class TerminalStatus(BaseModel):
    """How a terminal is."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    version: Literal[1] = 1
    #: `degraded`: at least one part does not serve, and the others do. `offline` comes from the broker, as the will.
    state: Literal["starting", "online", "degraded", "offline"]
    software: Annotated[str, StringConstraints(max_length=64)]
    #: Number of the configuration document in force; 0 for the terminal's own file.
    configuration: Annotated[int, Field(ge=0)]
    #: The parts that do not serve, each with its code of the failure catalogue.
    down: Annotated[dict[_Part, _Code], Field(max_length=32)] = Field(default_factory=dict)

    def encode(self) -> bytes:
        """The payload; equal for an equal status."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The status in a payload.

        Raises:
            WireError: `limit` or `malformed`.
        """
        if len(data) > LIMIT:
            raise WireError(Fault.LIMIT, f"a status of {len(data)} bytes")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise WireError(Fault.MALFORMED, "not a status") from error
