#!/usr/bin/env python3
"""Receives webhooks and verifies them; prints each, and says which came before.

    pip install standardwebhooks
    WEBHOOK_SECRET=$(clerkwork webhook-secret show --tenant default --store …) python3 receive_webhook.py 127.0.0.1:8000
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
        except (WebhookVerificationError, ValueError) as error:  # ValueError: what is no signature, or no text
            print(f"refused {error}", flush=True)
            return self.answer(401)
        message = json.loads(body)
        if self.headers["webhook-id"] in SEEN:
            print(f"known already {message['type']} {message['data']['id']}", flush=True)
        else:
            SEEN.add(self.headers["webhook-id"])
            print(f"verified {json.dumps(message)}", flush=True)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


host, port = sys.argv[1].split(":")
server = ThreadingHTTPServer((host, int(port)), Receiver)
print(f"listening on {host}:{server.server_address[1]}", flush=True)
server.serve_forever()
