"""What every room that talks to a server raises alike."""


class Unavailable(Exception):
    """The dependency does not answer. The work is not at fault: wait, and try again.

    The text names the dependency and what is wrong; it holds no secret and no message's content.
    """
