"""The page: outputs of jobs shown in a browser, by a server for one person.

`server` listens, `guard` lets only that person in, `app` knows the addresses, `views` answers them, `site` is what
they share; `templates` and `static` are what the browser gets to see.
"""
