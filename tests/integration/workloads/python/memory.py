"""Memory that grows and shrinks."""

import mmap
import sys

print("ready", flush=True)
sys.stdin.readline()
with open("mapped", "wb+") as file:
    file.write(b"x" * 8192)
    file.flush()
    with mmap.mmap(file.fileno(), 0) as view:
        view[0:5] = b"hello"
        view.flush()
        view.madvise(mmap.MADV_WILLNEED)
        view.resize(16384)
anonymous = mmap.mmap(-1, 65536, prot=mmap.PROT_READ | mmap.PROT_WRITE)
anonymous[100] = 1
anonymous.close()
large = [bytearray(1 << 20) for _ in range(4)]
del large
text = "x" * (3 << 20)
del text
