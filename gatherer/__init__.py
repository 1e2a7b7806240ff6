"""Gatherer: brings hunter to a container, keeps what it sends, and writes it as strace would."""
