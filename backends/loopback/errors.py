"""What a service answers when it refuses a call."""


class Refusal(Exception):  # noqa: N818 - the service works; the call is refused
    """A call is refused with an HTTP status. Vendors add what their errors carry."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(f"{status}: {message}")
