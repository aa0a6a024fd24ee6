"""Status words with their meaning (ISO/IEC 7816-4, 5.3.4; ICAO Doc 9303-10, 3.6)."""

OK = 0x9000
END_OF_FILE = 0x6282
AUTHENTICATION_FAILED = 0x6300
WRONG_LENGTH = 0x6700
SECURE_MESSAGING_UNSUPPORTED = 0x6882
CHAINING_UNSUPPORTED = 0x6884
SECURITY_STATUS = 0x6982
AUTHENTICATION_BLOCKED = 0x6983
CONDITIONS = 0x6985
SM_OBJECTS_MISSING = 0x6987
SM_OBJECTS_WRONG = 0x6988
WRONG_DATA = 0x6A80
FUNCTION_UNSUPPORTED = 0x6A81
FILE_NOT_FOUND = 0x6A82
WRONG_P1P2 = 0x6A86
REFERENCE_NOT_FOUND = 0x6A88
WRONG_OFFSET = 0x6B00
INSTRUCTION_UNSUPPORTED = 0x6D00
CLASS_UNSUPPORTED = 0x6E00
UNKNOWN = 0x6F00

_MEANING = {
    OK: "done",
    END_OF_FILE: "end of file reached before the requested length",
    AUTHENTICATION_FAILED: "authentication failed",
    WRONG_LENGTH: "wrong length",
    SECURE_MESSAGING_UNSUPPORTED: "secure messaging not supported",
    CHAINING_UNSUPPORTED: "command chaining not supported",
    SECURITY_STATUS: "security status not satisfied",
    AUTHENTICATION_BLOCKED: "authentication method blocked",
    CONDITIONS: "conditions of use not satisfied",
    SM_OBJECTS_MISSING: "secure messaging objects missing",
    SM_OBJECTS_WRONG: "secure messaging objects incorrect",
    WRONG_DATA: "incorrect data",
    FUNCTION_UNSUPPORTED: "function not supported",
    FILE_NOT_FOUND: "file or application not found",
    WRONG_P1P2: "incorrect parameters P1-P2",
    REFERENCE_NOT_FOUND: "referenced data not found",
    WRONG_OFFSET: "offset outside the file",
    INSTRUCTION_UNSUPPORTED: "instruction not supported",
    CLASS_UNSUPPORTED: "class not supported",
    UNKNOWN: "no precise diagnosis",
}


def meaning(sw: int) -> str:
    """The status word in hexadecimal with its meaning."""
    if sw >> 8 == 0x61:
        text = f"{sw & 0xFF} more bytes are available"
    elif sw >> 8 == 0x6C:
        text = f"wrong Le, {sw & 0xFF} is right"
    elif sw & 0xFFF0 == 0x63C0:
        text = f"authentication failed, {sw & 0xF} tries left"
    else:
        text = _MEANING.get(sw, "status word without a general meaning")
    return f"{sw:04X} ({text})"


def refuses_key(sw: int) -> bool:
    """Whether an authentication command was answered with 'the key is wrong'."""
    return sw == AUTHENTICATION_FAILED or sw & 0xFFF0 == 0x63C0
