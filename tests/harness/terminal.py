"""A verb on a terminal: its standard input and error are one, its standard output is a file."""

import contextlib
import os
import pty
import subprocess
import tempfile
import threading


class OnTerminal:
    def __init__(self, binary, environment, *arguments):
        self.master, slave = pty.openpty()
        self.output = tempfile.TemporaryFile("w+", encoding="utf-8")
        self.process = subprocess.Popen([binary, *arguments], env=environment, stdin=slave, stderr=slave,
                                        stdout=self.output, start_new_session=True)
        os.close(slave)
        self.seen = ""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        with contextlib.suppress(OSError):  # the last one closed the other side
            while piece := os.read(self.master, 65536):
                self.seen += piece.decode()

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self, timeout=60):
        """(exit code, standard output, what the terminal got)"""
        code = self.process.wait(timeout)
        self.reader.join(timeout)
        self.output.seek(0)
        return code, self.output.read(), self.seen

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join(10)
        os.close(self.master)
        self.output.close()


@contextlib.contextmanager
def on_terminal(binary, environment, *arguments):
    running = OnTerminal(binary, environment, *arguments)
    try:
        yield running
    finally:
        running.close()
