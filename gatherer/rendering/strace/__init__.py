"""Records to the text that strace would have written.

Here belongs what decides the bytes of a log line; everything is pure and prints ASCII only, so no
byte of a tracee reaches a terminal unescaped. Files, processes and the stream do not belong here.

Public surface:

- `lines.process_lines.ProcessLines`: the records of one process to its log, in order.
- `calls.call.CallRenderer`: one system call to its text; one renderer serves many processes.
- `lines.stamps`: the times in front of lines.
"""
