"""The one exception for input that a person can mend."""


class InputError(ValueError):
    """Bad input: its message is one line that names the culprit and the remedy.

    Library code raises it; the experiments print it without a traceback and exit with 1.
    """
