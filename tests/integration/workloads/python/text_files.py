"""Files as Python programs use them."""

import os
import sys

print("ready", flush=True)
sys.stdin.readline()
with open("notes.txt", "w", encoding="utf-8") as file:
    for number in range(5):
        print(f"line {number} – with a dash", file=file)
with open("notes.txt", encoding="utf-8") as file:
    lines = list(file)
with open("data.bin", "wb", buffering=0) as raw:
    raw.write(bytes(range(64)))
    raw.seek(10)
    raw.truncate()
os.makedirs("a/b/c", exist_ok=True)
for name in ("one", "two", "three"):
    open(os.path.join("a/b", name), "w").close()
for _folder, _, names in sorted(os.walk("a")):
    sorted(names)
os.replace("a/b/one", "a/b/four")
try:
    open("missing/file")
except FileNotFoundError:
    pass
try:
    os.rmdir("a")
except OSError:
    pass
os.symlink("notes.txt", "link")
os.path.realpath("link")
os.stat("link")
os.utime("notes.txt", (1000000000, 1000000000))
