"""The state of one read of a chip: what the steps of `reading` fill in, one after the other."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from firmware_bridge.apdu.channel import Channel, PlainChannel, Tracer
from firmware_bridge.apdu.secure import SecureChannel
from firmware_bridge.document import Access, Check, CheckName
from firmware_bridge.emrtd.capabilities import Capabilities
from firmware_bridge.emrtd.files import FileReader
from firmware_bridge.emrtd.pace import PaceResult
from firmware_bridge.emrtd.passive import PassiveResult
from firmware_bridge.emrtd.security_infos import SecurityInfos
from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.reader import Progress, ReadRequest


@dataclass(slots=True)
class Chip:
    """The state of one read; what is not read yet is empty."""

    transport: Tracer
    request: ReadRequest
    store: TrustStore
    now: datetime
    plain: PlainChannel
    capabilities: Capabilities | None = None
    extended_allowed: bool = True
    card_access: bytes | None = None
    infos: SecurityInfos = field(default_factory=SecurityInfos)
    pace: PaceResult | None = None
    channel: Channel | None = None
    access: Access = Access.NONE
    common: bytes | None = None
    sod: bytes | None = None
    groups: dict[int, bytes] = field(default_factory=dict)
    passive: PassiveResult | None = None
    checks: dict[CheckName, Check] = field(default_factory=dict)
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def open_channel(self) -> Channel:
        """The channel that files are read over."""
        return self.channel or self.plain

    def files(self) -> FileReader:
        """A reader of files over the present channel."""
        channel = self.open_channel
        known = self.capabilities or Capabilities()
        short = channel.short_chunk if isinstance(channel, SecureChannel) else 256
        return FileReader(channel, short_chunk=short, max_response=known.max_response, progress=self._progress)

    def _progress(self, name: str, done: int, total: int) -> None:
        self.request.progress(Progress(name, done, total))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a step and tell that it began."""
        self.request.progress(Progress(name))
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - begin
