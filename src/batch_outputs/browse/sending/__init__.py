"""Content on its way to the browser: whole or by ranges, in archives, and as the events of a log that grows."""
