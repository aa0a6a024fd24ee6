"""One read of an eMRTD as a flat list of steps over one state (ICAO Doc 9303-11, 4.2).

What raises and what is a verdict: a chip that cannot be opened, breaks off or sends nonsense raises; a chip that was
read in full is returned with a verdict for each check, and whoever asked decides what is a refusal. A data group
that the security object does not cover, or covers with another hash, makes passive authentication fail with
`document.altered` and is not used: its fields in the `Document` stay empty.

Chip authentication comes last, so that a clone, which cannot speak under the new keys, is still read in full.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from firmware_bridge.apdu import status
from firmware_bridge.apdu.channel import ExtendedRefusedError, PlainChannel, Tracer, Transport
from firmware_bridge.apdu.command import Command
from firmware_bridge.document import Access, CheckName, Document
from firmware_bridge.emrtd import assemble, bac, capabilities, files, pace, security_infos
from firmware_bridge.emrtd.authentication import active_check, chip_check, verified_infos
from firmware_bridge.emrtd.chip import Chip
from firmware_bridge.emrtd.passive import authenticate
from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.errors import BridgeError, Code, DocumentError
from firmware_bridge.reader import AccessKey, MrzKey, ReadRequest

#: Data groups that a terminal has a use for; fingerprints and irises (3 and 4) stay on the chip.
WANTED = (1, 2, 11, 12, 14, 15)
_SELECT_MASTER = Command(0x00, 0xA4, 0x00, 0x0C, b"\x3f\x00")


def read_chip(
    transport: Transport,
    request: ReadRequest,
    store: TrustStore,
    *,
    atr: bytes = b"",
    now: datetime | None = None,
    extended: bool = True,
    full_trace: bool = False,
) -> Document:
    """Read and judge the chip behind `transport`.

    Args:
        transport: an activated chip.
        request: key, nonce, progress; its deadline and its cancellation are the transport's business.
        store: the CSCA certificates to believe.
        atr: the answer to reset, which may tell that the chip takes extended lengths.
        now: the present, for expiry dates.
        extended: whether the reader carries extended lengths; the chip is asked in any case.
        full_trace: keep whole APDUs in the log (they hold personal data).

    Raises:
        BridgeError: with `trace`, the timed log of exchanges, and `steps`, those that were finished.
    """
    tracer = Tracer(transport, full=full_trace)
    chip = Chip(tracer, request, store, now or datetime.now(UTC), PlainChannel(tracer))
    chip.capabilities = capabilities.from_atr(atr)
    chip.extended_allowed = extended
    try:
        try:
            _run(chip)
        except ExtendedRefusedError:
            chip = Chip(tracer, request, store, chip.now, PlainChannel(tracer), phases=chip.phases)
            chip.extended_allowed = False
            _run(chip)
        return assemble.document(chip)
    except BridgeError as error:
        error.trace = tuple(tracer.log())
        error.steps = tuple(chip.phases)
        raise


def _run(chip: Chip) -> None:
    for name, step in STEPS:
        with chip.phase(name):
            step(chip)


def learn(chip: Chip) -> None:
    """What the chip offers, in clear: EF.CardAccess and, unless the answer to reset told it, EF.ATR/INFO."""
    content = chip.files().read(files.CARD_ACCESS, optional=True)
    if content is None and chip.plain.transmit(_SELECT_MASTER).sw == status.OK:
        content = chip.files().read(files.CARD_ACCESS, optional=True)
    if content is not None:
        chip.card_access = content
        chip.infos = security_infos.parse(content)
        if chip.capabilities is None:
            chip.capabilities = capabilities.from_info(chip.files().read(files.ATR_INFO, optional=True) or b"")
    announced = chip.capabilities is not None and chip.capabilities.extended
    chip.plain.extended = announced and chip.extended_allowed


def open_chip(chip: Chip) -> None:
    """PACE where the chip offers it, else BAC; without a key only a chip that protects nothing."""
    request = chip.request
    if chip.infos.pace and request.key is not None and _open_by_pace(chip, request.key):
        files.select_application(chip.open_channel)
        return
    files.select_application(chip.plain)
    if request.key is None:
        return
    if not isinstance(request.key, MrzKey):
        raise DocumentError(Code.DOCUMENT_KEY_MISSING, "the chip has no PACE: it opens by its MRZ, not by a CAN")
    chip.channel = bac.establish(chip.plain, request.key)
    chip.access = Access.BAC


def _open_by_pace(chip: Chip, key: AccessKey) -> bool:
    offer = pace.choose(chip.infos.pace)
    if offer is None:
        if chip.request.allow_bac_fallback:
            return False
        raise DocumentError(Code.DOCUMENT_ACCESS, "the chip offers PACE only with parameters that are not standard")
    try:
        chip.pace = pace.establish(chip.plain, offer, key)
    except DocumentError as error:
        if error.code is Code.DOCUMENT_ACCESS and chip.request.allow_bac_fallback:
            return False
        raise
    chip.channel = chip.pace.channel
    # The mapping that also proves the chip is told as such once it has (`authentication.chip_check`).
    chip.access = Access.PACE
    return True


def read_index(chip: Chip) -> None:
    """EF.COM and EF.SOD."""
    try:
        chip.common = chip.files().read(files.COM)
    except DocumentError as error:
        if error.code is Code.DOCUMENT_ACCESS and chip.request.key is None:
            raise DocumentError(Code.DOCUMENT_KEY_MISSING, "the chip opens only with its MRZ or CAN") from error
        raise
    chip.sod = chip.files().read(files.SOD)


def read_groups(chip: Chip) -> None:
    """The data groups that are wanted and that the security object or EF.COM lists."""
    listed = assemble.listed_groups(chip.common, chip.sod)
    reader = chip.files()
    for number in WANTED:
        if number not in listed:
            continue
        content = reader.read(files.GROUPS[number])
        if content is not None:
            chip.groups[number] = content


def judge_data(chip: Chip) -> None:
    """Passive authentication."""
    chip.passive = authenticate(
        chip.sod, chip.groups, chip.store, now=chip.now, issuing_state=assemble.issuing_state(chip.groups, chip.now)
    )
    hidden = assemble.downgrade(verified_infos(chip), chip.infos)
    chip.checks[CheckName.PASSIVE] = hidden or chip.passive.check


def judge_chip(chip: Chip) -> None:
    """Chip authentication, or what PACE with chip authentication mapping has proven already."""
    chip.checks[CheckName.CHIP] = chip_check(chip)


def judge_key(chip: Chip) -> None:
    """Active authentication, unless the chip has proven itself and the caller gave no nonce."""
    chip.checks[CheckName.ACTIVE] = active_check(chip)


#: The whole of a read.
STEPS: tuple[tuple[str, Callable[[Chip], None]], ...] = (
    ("learn", learn),
    ("access", open_chip),
    ("index", read_index),
    ("data", read_groups),
    ("passive authentication", judge_data),
    ("chip authentication", judge_chip),
    ("active authentication", judge_key),
)
