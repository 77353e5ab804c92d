"""Audio-visual video parsing (LLP): every event of a video, heard, seen or both."""
