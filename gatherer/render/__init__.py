"""Records to the text that strace would have written.

Public surface:

- `gatherer.render.lines.ProcessLines`: the records of one process to its log, in order:
  `feed(records, watermark_ns) -> bytes` and `finish() -> bytes`.
- `gatherer.render.call.CallRenderer`: one system call: `call(record)` gives the text before ` = `
  and that of the return value; `split(record)` what stands before `<unfinished ...>` and what
  behind `<... resumed>`.
- `gatherer.render.signals`, `gatherer.render.notes`: lines that are about no call.
- `gatherer.render.stamps`: the times in front of lines.

Everything is pure and prints ASCII only: no byte of a tracee reaches a terminal unescaped.
The argument kinds: `values` (numbers and flags), `strings` (and buffers), `vectors`, `pointers`
(numbers and sets), `structs`, `files` and `sockets` (structures), `siginfo`; `memory` holds what
they print.
"""
