"""The app: its doors and its pages, and nothing else. The menu is drawn by the pages, so that each of them also runs alone."""

from __future__ import annotations

import streamlit as st
from starlette.middleware import Middleware
from streamlit.runtime.scriptrunner import get_script_run_ctx

from vizkit.ui.doors import Doors
from vizkit.ui.page import PAGES

app = st.App(__file__, middleware=[Middleware(Doors)])
"""What ``streamlit run`` serves; each visit runs this file again, as its script."""

if get_script_run_ctx(suppress_warning=True) is not None:
    st.navigation([st.Page(path, title=title) for path, title in PAGES.items()], position="hidden").run()
