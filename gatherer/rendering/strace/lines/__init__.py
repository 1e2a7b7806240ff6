"""The lines of one process: their order, what stands in front of them, and those about no call.

Here belongs what knows more than one record; not the text of a call (`calls`).
"""
