"""Series of samples over a capture: rates, measures, staleness. Pure.

Not here: names of metrics (`kinds`), and where samples come from (`scrape`).
"""
