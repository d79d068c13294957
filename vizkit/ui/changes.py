"""What two runs say: the most probable labels of both, with bars, probabilities and their difference."""

from __future__ import annotations

from html import escape

import streamlit as st

from vizkit.comparison import LabelChange, label_changes, tabulate_changes
from vizkit.contracts import Prediction
from vizkit.harmless import visible
from vizkit.ui.panels import bars_html, table_view
from vizkit.ui.sides import NAMES
from vizkit.ui.words import plain

STYLE = """<style>
.vz-changes { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.vz-changes :is(td, th) { padding: 4px 14px 4px 0; border: 0; font-weight: 400; text-align: left; vertical-align: middle; }
.vz-changes thead th { font-weight: 600; }
.vz-changes .number { text-align: right; white-space: nowrap; }
.vz-changes .bars { width: 34%; min-width: 120px; }
.vz-changes .bars div { height: 9px; min-width: 1px; margin: 1px 0; border: 1px solid currentColor; border-radius: 2px; }
.vz-changes .bars .one { background: currentColor; opacity: 0.8; }
.vz-changes .bars .other { background: repeating-linear-gradient(135deg, currentColor 0 1.5px, transparent 1.5px 5px); }
</style>"""
"""A is a full bar, B a hatched one, so that they can be told apart without colour."""


def predictions(one: Prediction, other: Prediction) -> None:
    """Show what both sides say; two lists where their labels are not the same."""
    if one.labels != other.labels:
        st.info("The two networks know other labels, so their probabilities have nothing to be subtracted from.", icon=":material/info:")
        for column, name, found in zip(st.columns(2, gap="large"), NAMES, (one, other), strict=True):
            with column:
                st.markdown(f"**{name}**")
                st.html(bars_html(found))
        return
    rows = label_changes(one, other)
    st.markdown(_headline(one, other))
    st.html(STYLE + changes_html(rows))
    with st.expander("As a table, with the logits", icon=":material/table:"):
        table_view(tabulate_changes(rows, names=NAMES))


def _headline(one: Prediction, other: Prediction) -> str:
    """Say whether both choose the same label."""
    first, second = one.top(1)[0], other.top(1)[0]
    if first.label == second.label:
        return f"Both say **{plain(first.label)}**: {first.probability:.1%} and {second.probability:.1%}."
    return f"A says **{plain(first.label)}** ({first.probability:.1%}), B says **{plain(second.label)}** ({second.probability:.1%})."


def changes_html(rows: tuple[LabelChange, ...]) -> str:
    """A table with two bars for each label; labels are escaped."""
    a, b = NAMES
    numbers = "".join(f'<th scope="col" class="number">{name}</th>' for name in (a, b, f"{b} \u2212 {a}"))
    head = f'<thead><tr><th scope="col">label</th><th scope="col" class="bars">{a} full, {b} hatched</th>{numbers}</tr></thead>'
    body = "".join(_row(escape(visible(row.label)), row) for row in rows)
    return f'<table class="vz-changes" aria-label="Most probable labels of both sides">{head}<tbody>{body}</tbody></table>'


def _row(label: str, row: LabelChange) -> str:
    kinds = zip(("one", "other"), row.probabilities, strict=True)
    bars = "".join(f'<div class="{kind}" style="width: {100 * share:.1f}%"></div>' for kind, share in kinds)
    shares = "".join(f'<td class="number">{100 * share:.1f} %</td>' for share in row.probabilities)
    points = f"{100 * row.change:+.1f}".replace("-", "\u2212")
    return f'<tr><th scope="row">{label}</th><td class="bars">{bars}</td>{shares}<td class="number">{points} points</td></tr>'
