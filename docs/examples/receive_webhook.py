#!/usr/bin/env python3
"""Receives webhooks and verifies them; prints each, and says which came before.

    pip install standardwebhooks
    WEBHOOK_SECRET=$(clerkwork webhook-secret show --tenant default --store …) python3 receive_webhook.py 8000
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
SEEN = set()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            # Also refuses what was signed more than five minutes ago: a message that is played again.
            WEBHOOK.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError as error:
            print("refused", error)
            return self.answer(401)
        message = json.loads(body)
        if self.headers["webhook-id"] in SEEN:
            print("known already", message["type"], message["data"]["id"])
        else:
            SEEN.add(self.headers["webhook-id"])
            print("verified", json.dumps(message))
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
print("listening on", server.server_address[1])
server.serve_forever()
