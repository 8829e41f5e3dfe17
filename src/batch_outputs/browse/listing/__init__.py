"""Pages that list: what stands in their lines, in which order, and how many to a page."""
