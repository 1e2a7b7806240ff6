"""Sixteen threads of file, pipe and memory work; prints one digest per thread, exit code 7."""

import hashlib
import os
import sys
import tempfile
import threading

results = {}


def work(number: int) -> None:
    digest = hashlib.sha256()
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as file:
        for i in range(40):
            file.write(b"%d:%d\n" % (number, i) * 50)
            file.flush()
            os.write(writer, b"%d" % (i * number))
            digest.update(os.read(reader, 64))
            try:
                os.stat(f"/nonexistent/{number}/{i}")
            except FileNotFoundError as error:
                digest.update(error.strerror.encode())
        file.seek(0)
        digest.update(file.read())
    os.close(reader)
    os.close(writer)
    results[number] = digest.hexdigest()


print("ready", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for number in sorted(results):
    print(number, results[number])
sys.exit(7)
