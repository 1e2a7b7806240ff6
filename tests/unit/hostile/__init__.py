"""Streams and messages that lie: mutated frames and exec messages, streams that want room."""
