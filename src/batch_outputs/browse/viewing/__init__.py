"""The page of a file: which viewer it gets, and what that shows of it."""
