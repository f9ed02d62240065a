# A component written with unmodified slixmpp: answers a message by an echo, sends what it reads on stdin (`<to> <body>` a line).
import asyncio
import sys

from slixmpp.componentxmpp import ComponentXMPP


class Bot(ComponentXMPP):
    def __init__(self, domain, secret, address, port):
        super().__init__(domain, secret, address, port)
        self.add_event_handler("session_start", self.online)
        self.add_event_handler("message", self.message)

    def online(self, _event):
        print(f"online {self.boundjid.bare}", flush=True)
        asyncio.get_event_loop().add_reader(sys.stdin, self.order)

    def order(self):
        line = sys.stdin.readline().strip()
        if line == "":
            asyncio.get_event_loop().remove_reader(sys.stdin)
            return
        to, body = line.split(" ", 1)
        self.send_message(mto=to, mbody=body, mtype="chat", mfrom=f"bot@{self.boundjid.bare}")

    def message(self, message):
        print(f"stanza {message}", flush=True)
        if message["type"] != "error" and message["body"] and not message["body"].startswith("echo: "):
            self.send_message(mto=message["from"], mbody=f"echo: {message['body']}", mtype="chat", mfrom=f"bot@{self.boundjid.bare}")


address, port, domain, secret = sys.argv[1:5]
bot = Bot(domain, secret, address, int(port))
bot.connect()
bot.process(forever=True)
