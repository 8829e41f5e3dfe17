"""A log made harmless for whoever shows it: text and colours pass, what moves or changes a terminal does not."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

_CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_PLAIN = re.compile(rf"[^{_CONTROL}]+")
_PLAIN_FOR_TERMINAL = re.compile(rf"[^{_CONTROL}\r]+")
# What stands between `ESC [` and the letter that says what is to be done.
_PARAMETERS = re.compile(r"[ -?]*")
_COLOUR = re.compile(r"[0-9;:]*")
_LONGEST_COLOUR = 64
_CONCEAL = "8"
_EXTENDED = {"38", "48", "58"}
# The content of a string (a title, a link, a picture), up to what ends it. A line end ends one that nobody closed: the
# rest of a log should not disappear in it.
_STRING = re.compile(r"[^\x07\n\x18\x1a\x1b\x9c]*")
_ESCAPE = "\x1b"
_PLAIN_AGAIN = "\x1b[0m"


class TerminalFilter:
    """Takes control codes other than colours, tabs and line ends out of a stream of bytes.

    A machine as in a terminal, so that it does not matter how the stream is cut into pieces. Bytes that are not UTF-8
    become U+FFFD, as a terminal shows them. A line end ends whatever was begun. Nothing that was written can be hidden:
    a carriage return is a line end, so that each step of a progress bar has a line, and the colour that conceals is
    left out. Without `colours`, for what is no terminal, text alone passes, with its carriage returns.
    """

    def __init__(self, *, colours: bool = True) -> None:
        self._colours = colours
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._state: Callable[[str, int], int] = self._text
        self._sequence = ""
        self._plain = _PLAIN_FOR_TERMINAL if colours else _PLAIN
        self._harmless: list[str] = []
        self._coloured = False
        self._line_has_ended = False  # by a carriage return; the line feed that may follow it is of the same end

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is held back: neither a sequence nor a character is under way."""
        return self._state == self._text and not self._decoder.getstate()[0]

    def feed(self, data: bytes, *, last: bool = False) -> str:
        """The harmless part of the bytes so far; a sequence that is not whole yet is held back.

        At the `last`, what is not whole is dropped, and colours end.
        """
        text = self._decoder.decode(data, last)
        position = 0
        while position < len(text):
            position = self._state(text, position)
        if last and self._coloured:
            self._harmless.append(_PLAIN_AGAIN)
        harmless = "".join(self._harmless)
        self._harmless.clear()
        return harmless

    # Each state takes what is its own, from a position on, and returns the position behind.

    def _text(self, text: str, position: int) -> int:
        if self._line_has_ended and text[position] != "\r":
            self._line_has_ended = False
            if text[position] == "\n":
                return position + 1
        plain = self._plain.match(text, position)
        if plain is not None:
            self._harmless.append(plain.group())
            return plain.end()
        if text[position] == "\r":
            if not self._line_has_ended:
                self._harmless.append("\n")
            self._line_has_ended = True
        elif text[position] == _ESCAPE:
            self._state = self._after_escape
        elif text[position] == "\x9b":
            self._begin_sequence()
        elif text[position] in "\x90\x98\x9d\x9e\x9f":
            self._state = self._string
        return position + 1  # a control character is left out

    def _after_escape(self, text: str, position: int) -> int:
        character = text[position]
        if character == "[":
            self._begin_sequence()
        elif character in "]PX^_":
            self._state = self._string
        elif character == _ESCAPE or " " <= character <= "/":
            pass  # another beginning, or one more character before the last
        elif "0" <= character <= "~":
            self._state = self._text
        else:
            self._state = self._text
            return position  # no sequence at all
        return position + 1

    def _begin_sequence(self) -> None:
        self._sequence = ""
        self._state = self._in_sequence

    def _in_sequence(self, text: str, position: int) -> int:
        end = _PARAMETERS.match(text, position).end()  # type: ignore[union-attr]  # it matches nothing, too
        if len(self._sequence) <= _LONGEST_COLOUR:
            self._sequence += text[position:end]
        if end == len(text):
            return end
        self._state = self._text
        if not "@" <= text[end] <= "~":
            return end  # cut short
        is_colour = text[end] == "m" and len(self._sequence) <= _LONGEST_COLOUR and _COLOUR.fullmatch(self._sequence)
        if is_colour and self._colours and (kept := _without_conceal(self._sequence)) is not None:
            self._harmless.append(f"{_ESCAPE}[{kept}m")
            self._coloured = True
        return end + 1

    def _string(self, text: str, position: int) -> int:
        end = _STRING.match(text, position).end()  # type: ignore[union-attr]  # it matches nothing, too
        if end == len(text):
            return end
        self._state = self._after_escape if text[end] == _ESCAPE else self._text
        return end if text[end] == "\n" else end + 1


def _without_conceal(parameters: str) -> str | None:
    """The parameters of a colour without the one that hides text; None if no other is left."""
    given = parameters.split(";")
    kept: list[str] = []
    while given:
        first = given.pop(0)
        if first.partition(":")[0].lstrip("0") == _CONCEAL:
            continue
        kept.append(first)
        if first.lstrip("0") in _EXTENDED and given:  # an 8 behind these is the number of a colour
            behind = {"5": 2, "2": 4}.get(given[0].lstrip("0"), 1)
            kept += given[:behind]
            del given[:behind]
    return ";".join(kept) if kept else None
