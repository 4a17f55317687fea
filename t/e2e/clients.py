"""Clients, each in a thread, who go on until they are told to stop."""
import threading


class Clients:
    """Each has a call of run(), of a subclass, which lasts until ended is set, and
    puts what goes wrong into problems. arguments: of each call."""

    def __init__(self, arguments):
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.problems = []
        self.threads = [threading.Thread(target=self.run, args=args)
                        for args in arguments]

    def run(self, *args):
        raise NotImplementedError

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.ended.set()
        for thread in self.threads:
            thread.join()
