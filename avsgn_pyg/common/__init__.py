"""Errors, atomic files and locks, the process pool, lazy imports: used by every room, without torch or PyG."""
