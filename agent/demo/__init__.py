"""The demonstration: every part real but the plastic and the person, which the simulators play."""
