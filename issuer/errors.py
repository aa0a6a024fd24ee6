"""What an operator of the issuer can get wrong."""


class IssuerError(Exception):
    """The command cannot be carried out; the text names cause and remedy."""
