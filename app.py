"""The app: its pages, and nothing else. The menu is drawn by the pages, so that each of them also runs alone."""

from __future__ import annotations

import streamlit as st

from vizkit.ui.page import PAGES

st.navigation([st.Page(path, title=title) for path, title in PAGES.items()], position="hidden").run()
