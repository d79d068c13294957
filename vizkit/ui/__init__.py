"""The app's parts; with the pages the only code that knows Streamlit."""
