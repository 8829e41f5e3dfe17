"""The wrapper around an executable: start it, keep what it writes, return its exit code.

`program` starts it and is light; `attend` brings in the library, after the program has been started.
"""
