"""Coverage-guided fuzzing of everything that a chip, a module or a file can send us.

    python -m tests.hostile.fuzz_bridge sod --minutes 10       # needs the package atheris
    python -m tests.hostile.fuzz_bridge all --minutes 10       # shared by all targets

An input that makes a target raise anything but a `BridgeError`, or take longer than a second, is kept in `found/`, and
every run of the tests tries it again.
"""
