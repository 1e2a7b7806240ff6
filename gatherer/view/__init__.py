"""Views: what people and scripts see of captures, and the values that views and documents share.

A view only shows; nothing it does or fails to do changes a capture. Text from the target is
escaped here, by every view, before it reaches a stream.

Not here: what is written to the capture directory (`capture`, `fleet`), and the text of log lines
(`rendering`).
"""
