"""Remote commands: signed by an operator, authorised by role, done at most once, told to the issuer.

`operators` who may order what, `registry` what can be ordered, `journal` what has been, `server` the part that does it.
"""
