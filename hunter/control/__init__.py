"""The control thread: processes announced to gatherer, what engines tell, reports, budget.

Not here: the scan that finds processes (`scan`), how they are traced (`engines`), how messages
reach gatherer (`stream`).
"""
