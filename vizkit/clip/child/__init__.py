"""The decoder's throw-away process: nothing in here runs in the server.

:mod:`vizkit.clip.guard` starts it, one task each time; :mod:`vizkit.clip.child.work` is what it runs.
Only the standard library, numpy, cv2, Pillow and PyAV are imported here, and those after the limits are set.
"""
