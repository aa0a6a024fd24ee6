"""How good the models are: error rates after ISO/IEC 19795-1 and 30107-3, measured on pictures that an operator has.

Everything here runs on a workstation, from the command line; the daemon imports none of it.
"""
