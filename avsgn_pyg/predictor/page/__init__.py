"""The web page on which clips are looked at, corrected and compared: ``tools/serve.py``, ``docs/page.md``."""
