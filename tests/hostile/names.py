"""54 names that somebody may give to a file: what is shown of each, and which are refused for their kind."""

from __future__ import annotations

REFUSED = "type_not_allowed"

NAMES: dict[str, tuple[str, str]] = {
    # paths
    "../../../../tmp/escape.mp4": ("", "escape.mp4"),
    "/tmp/absolute.mp4": ("", "absolute.mp4"),
    "..\\..\\windows\\x.mp4": ("", "x.mp4"),
    "C:\\x.mp4": ("", "x.mp4"),
    "....//....//x.mp4": ("", "x.mp4"),
    "%2e%2e%2fx.mp4": ("", "%2e%2e%2fx.mp4"),
    ".mp4": ("", ".mp4"),
    ".": ("", "clip"),
    "..": ("", "clip"),
    "": ("", "clip"),
    " ": ("", "clip"),
    "nul": ("", "nul"),
    "CON.mp4": ("", "CON.mp4"),
    # suffixes
    "clip": ("", "clip"),
    "clip.MP4": ("", "clip.MP4"),
    "clip.mp4 ": ("", "clip.mp4"),
    "clip.mp4\0.png": (REFUSED, "clip.mp4.png"),
    "clip.mp4.exe": (REFUSED, "clip.mp4.exe"),
    "img_00.png": (REFUSED, "img_00.png"),
    # what a terminal, a header or a reader of text would act upon
    "a\nb.mp4": ("", "ab.mp4"),
    "a\r\nSet-Cookie: x=1.mp4": ("", "aSet-Cookie: x=1.mp4"),
    "tab\tname.mp4": ("", "tabname.mp4"),
    "\x1b[31mred\x1b[0m.mp4": ("", "[31mred[0m.mp4"),
    "e\u202egpj.mp4": ("", "egpj.mp4"),
    "z\u200bero.mp4": ("", "zero.mp4"),
    "\ud800.mp4": ("", ".mp4"),
    "n" * 300 + ".mp4": ("", "n" * 72 + "…nnn.mp4"),
    # other writings
    "影片 測試.mp4": ("", "影片 測試.mp4"),
    "cafe\u0301.mp4": ("", "caf\u00e9.mp4"),
    "\U0001f600.mp4": ("", "\U0001f600.mp4"),
    # markup
    "<img src=x onerror=alert(1)>.mp4": ("", "<img src=x onerror=alert(1)>.mp4"),
    '"><script>alert(1)</script>.mp4': ("", "script>.mp4"),
    "<b>bold</b>.mp4": ("", "b>.mp4"),
    "[x](javascript:alert(1)).mp4": ("", "[x](javascript:alert(1)).mp4"),
    "![](http://127.0.0.1:38765/beacon.png).mp4": ("", "beacon.png).mp4"),
    "**b** _i_ `c` $x^2$ :smile: :red[r].mp4": ("", "**b** _i_ `c` $x^2$ :smile: :red[r].mp4"),
    "\\alpha_{x}.mp4": ("", "alpha_{x}.mp4"),
    "$\\frac{1}{0}$.mp4": ("", "frac{1}{0}$.mp4"),
    "$\\nosuch{$.mp4": ("", "nosuch{$.mp4"),
    "a$_^$b.mp4": ("", "a$_^$b.mp4"),
    # formulas, options, patterns, commands, formats
    '=HYPERLINK("http://127.0.0.1","x").mp4': ("", '127.0.0.1","x").mp4'),
    "+1+1.mp4": ("", "+1+1.mp4"),
    "@SUM(1).mp4": ("", "@SUM(1).mp4"),
    "-i.mp4": ("", "-i.mp4"),
    "--help.mp4": ("", "--help.mp4"),
    "clip_%04d.mp4": ("", "clip_%04d.mp4"),
    "concat:a|b.mp4": ("", "concat:a|b.mp4"),
    "http:x.mp4": ("", "http:x.mp4"),
    "$(touch ran).mp4": ("", "$(touch ran).mp4"),
    "`touch ran`.mp4": ("", "`touch ran`.mp4"),
    "a;b&c|d.mp4": ("", "a;b&c|d.mp4"),
    "{name}.mp4": ("", "{name}.mp4"),
    "{0.__class__}.mp4": ("", "{0.__class__}.mp4"),
    "%s%n.mp4": ("", "%s%n.mp4"),
}
"""Name -> code of the refusal (empty: the clip is taken), and the name as it is shown."""
