"""What happens in test_random.py: backends that misbehave by chance, and what
everybody said, for the accounts to be balanced in the end.

Chance is a function of the seed and of what is asked (the sender, the recipient,
which connection), so that the same seed does the same again, as far as threads let
it.
"""
import random
import re
import threading

from scripted_backend import CAPABILITIES, Backend, Closed, close, reset

# At which share of all questions something else than the usual happens.
CONNECTION, COMMAND, MESSAGE = 0.04, 0.05, 0.06
REFUSALS = ["450 4.2.1 not now", "451 4.3.0 later", "452 4.2.2 full",
            "550 5.1.1 nobody", "552 5.2.2 much too much", "554 5.7.1 no"]
KINDS = [
    dict(),
    dict(capabilities=[*CAPABILITIES, "CHUNKING"]),
    dict(capabilities=["8BITMIME"]),
    dict(capabilities=[*CAPABILITIES, "XCLIENT ADDR"]),
    dict(lmtp=False),
    dict(lmtp=False, capabilities=["PIPELINING", "CHUNKING"]),
]


def code_of(reply):
    return int(reply[:3])


class Ledger:
    """What backends said, for each sender (of whom there is one for each
    transaction) or recipient (of whom there is one for all)."""

    def __init__(self):
        self.lock = threading.Lock()
        self.said = {}    # (stage, sender or recipient) -> [(backend, code)]
        self.clean = {}   # recipient -> code: certainly heard by the proxy
        self.told = {}    # recipient -> (backend, client's address by XCLIENT)
        self.taken = []   # recipients who were answered with 2xx
        self.wrongs = []  # what no proxy should say

    def note(self, stage, about, number, code):
        with self.lock:
            self.said.setdefault((stage, about), []).append((number, code))

    def codes(self, number, *questions):
        """All that this backend said to one of the questions."""
        return {code for question in questions
                for by, code in self.said.get(question, []) if by == number}


class ChaosBackend(Backend):
    """wild: whether it misbehaves at all."""

    def __init__(self, number, seed, ledger, **kind):
        self.number, self.seed, self.ledger = number, seed, ledger
        self.wild = True
        super().__init__(**kind)
        for stage in ("connect", "lhlo", "xclient", "mail", "rcpt", "data",
                      "body", "chunk", "dot", "rset", "idle"):
            self.on(stage, getattr(self, f"at_{stage}"))

    def chance(self, conn, about):
        return random.Random(f"{self.seed} {self.number} {conn.stage} {about}")

    def usual_for(self, conn):
        return self.usual(conn.stage, conn)

    def break_off(self, conn, dice):
        """The connection is of no use any more, in one way or another."""
        conn.spoilt = True
        how = dice.choice([
            close, reset, "421 4.3.2 going down", "rubbish", b"\0\xff\r\n",
            b"350 what?\r\n", self.half_close,
            self.say_and_close("421 4.3.2 bye"), self.say_and_close(b"25"),
            self.say_and_close(b"250-and then\r\n")])
        if dice.random() < 0.05:
            how = self.fall_silent
        return how(conn, None) if callable(how) else how

    @staticmethod
    def say_and_close(reply):
        def act(conn, _arg):
            conn.reply(reply)
            raise Closed
        return act

    @staticmethod
    def fall_silent(conn, _arg):
        """For ever: the reply to something later would be taken for this."""
        while True:
            conn.fill()

    @staticmethod
    def half_close(conn, _arg):
        conn.sock.shutdown(1)

    @staticmethod
    def shape(reply, dice):
        """The same reply, perhaps of several lines or byte by byte."""
        code, text = reply[:3], reply[4:]
        if dice.random() < 0.1:
            return [f"{code}-{text}", f"{code} {text}"]
        return reply

    # --- before a transaction ---

    def by_connection(self, conn, refusal):
        dice = self.chance(conn, self.connections.index(conn))
        if self.wild and dice.random() < CONNECTION:
            conn.spoilt = True
            if dice.random() < 0.5:
                return self.shape(refusal, dice)
            return self.break_off(conn, dice)
        return self.usual_for(conn)

    def at_connect(self, conn, _arg):
        conn.spoilt = conn.busy = conn.unusable = conn.out_of_step = False
        conn.told, conn.answered, conn.turn = None, None, 0
        return self.by_connection(conn, "554 5.3.2 no service")

    def at_lhlo(self, conn, _arg):
        conn.busy = False
        return self.by_connection(conn, "450 4.3.2 busy")

    def at_xclient(self, conn, line):
        conn.told = re.search(r"ADDR=(\S+)", line).group(1)
        return self.by_connection(conn, "501 5.5.4 not again")

    # --- the envelope ---


    def command(self, conn, about):
        """The reply to a command, and its code if it is a whole one."""
        dice = self.chance(conn, about)
        reply = self.usual_for(conn)
        if self.wild and dice.random() < COMMAND:
            if dice.random() < 0.3:
                return self.break_off(conn, dice)
            reply = dice.choice(REFUSALS)
        self.ledger.note(conn.stage, about, self.number, code_of(reply))
        return self.shape(reply, dice)

    def at_mail(self, conn, line):
        """Nobody's transaction is left open for the next one."""
        if conn.busy:
            self.ledger.wrongs.append(f"MAIL in a transaction: {line}")
        if conn.out_of_step:
            self.ledger.wrongs.append(f"MAIL behind a reply too many: {line}")
        conn.busy = True
        return self.command(conn, re.search(r"<(.*?)>", line).group(1))

    def at_rcpt(self, conn, address):
        return self.command(conn, address)

    def at_data(self, conn, _arg):
        return self.command(conn, conn.sender)

    def at_rset(self, conn, _arg):
        conn.turn, conn.busy = conn.turn + 1, False
        dice = self.chance(conn, (self.connections.index(conn), conn.turn))
        if not self.wild or dice.random() > CONNECTION:
            return self.usual_for(conn)
        conn.unusable = True
        return dice.choice(REFUSALS)

    # --- the message ---

    def refuse_early(self, conn, dice):
        """Everybody, before the end; what still comes is read, or not."""
        conn.spoilt = True
        message = conn.messages[-1]
        reply = dice.choice(REFUSALS)
        for rcpt in message.rcpts:
            self.ledger.note("early", rcpt, self.number, code_of(reply))
        count = len(message.rcpts) if self.lmtp else 1
        conn.reply([reply] * count)
        if dice.random() < 0.5:
            raise Closed
        conn.answered = message
        return None

    def at_body(self, conn, _arg):
        dice = self.chance(conn, conn.sender)
        if not self.wild or dice.random() > MESSAGE or \
                conn.buffer.endswith(b"\r\n.\r\n"):
            return None
        if dice.random() < 0.5:
            return self.refuse_early(conn, dice)
        return self.break_off(conn, dice)

    def at_chunk(self, conn, _arg):
        dice = self.chance(conn, conn.sender)
        if not self.wild or dice.random() > MESSAGE:
            return self.usual_for(conn)
        conn.spoilt = True
        if dice.random() < 0.5:
            return self.break_off(conn, dice)
        reply = dice.choice(REFUSALS)
        for rcpt in conn.messages[-1].rcpts:
            self.ledger.note("early", rcpt, self.number, code_of(reply))
        conn.reply(reply)
        raise Closed

    def note_final(self, conn, rcpts, code):
        ledger = self.ledger
        if conn.unusable:
            ledger.wrongs.append(f"a message behind a refused RSET: {rcpts}")
        for rcpt in rcpts:
            ledger.note("dot", rcpt, self.number, code)
            with ledger.lock:
                if not conn.spoilt:
                    ledger.clean[rcpt] = code
                ledger.told[rcpt] = self.number, conn.told
                if code // 100 == 2:
                    ledger.taken.append(rcpt)

    def at_dot(self, conn, rcpt):
        """In LMTP each recipient has a reply, in SMTP the first one's is for
        all. The last one may be followed by one too many."""
        message = conn.messages[-1]
        if conn.answered is message:
            return None
        dice = self.chance(conn, rcpt)
        reply = self.usual_for(conn)
        if self.wild and dice.random() < MESSAGE:
            if dice.random() < 0.4:
                return self.break_off(conn, dice)
            reply = dice.choice(REFUSALS)
        self.note_final(conn, [rcpt] if self.lmtp else message.rcpts,
                        code_of(reply))
        if self.wild and dice.random() < 0.02 and rcpt == message.rcpts[-1]:
            conn.out_of_step = True
            return [reply, reply]
        return self.shape(reply, dice)

    def at_idle(self, conn, _arg):
        conn.busy = False
        dice = self.chance(conn, conn.messages[-1].rcpts[0])
        if not self.wild or dice.random() > CONNECTION:
            return None
        conn.spoilt = True
        return dice.choice([close, reset, self.say_and_close("421 4.4.2 idle")])(
            conn, None)
