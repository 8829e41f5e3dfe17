"""A node on the desk: a job's tasks run on this machine as a Batch node would run them."""
