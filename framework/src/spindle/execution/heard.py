"""What programs warn of while another program runs them."""

from __future__ import annotations

import logging

__all__ = ["HeardWarnings"]


class HeardWarnings(logging.Handler):
    """Keeps what is warned of while it is entered, with the step that was at work.

    Only what loggers of Spindle and its rooms say counts, and only what is said in this process; of workers the host tells it here.

    Attributes
    ----------
    step : str
        What is at work now; set it before each step.
    messages : list of (str, str)
        Step and text, in their order; the same may be there more than once.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[tuple[str, str]] = []
        self.step = ""

    def __enter__(self) -> HeardWarnings:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        if f"{record.name}.".startswith(("spindle.", "spindle_")):
            self.messages.append((self.step, record.getMessage().removeprefix("Warning: ")))

    @property
    def once(self) -> list[tuple[str, str]]:
        """Step and first line of each, every one once; empty ones are left out."""
        return list(dict.fromkeys((step, text.splitlines()[0]) for step, text in self.messages if text))
