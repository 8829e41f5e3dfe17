"""Tests in a real browser. A package, since pytest ends what it keeps for a folder only where that is one.

The browser's driver has an event loop of its own, which must be gone before a test elsewhere starts another.
"""
