"""The protocol with one hunter: frames in order, acknowledgements, coming back after a loss.

Here belongs what is true of the stream whatever carries it and whatever it is used for; not how
hunter is reached (`runtimes`), nor what becomes of its frames (`capture`, `storage`, `rendering`).
"""
