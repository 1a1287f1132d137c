"""A service that a worker calls with each job: it counts to `pages` and tells how far it is.

    python3 http_service.py [PORT]
    clerkwork worker --queue render --http http://127.0.0.1:9000/
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            pages = int(json.loads(body)["pages"])
        except (KeyError, TypeError, ValueError):
            # Any status but 408, 425, 429 and 5xx: no further attempt could mend it.
            return self.problem(422, title="The input does not fit", detail="it needs a number of pages")
        if pages > 1000 and self.headers["Clerkwork-Attempt"] == "1":
            # Worth another attempt, after so many seconds.
            return self.problem(503, {"Retry-After": "1"}, detail="busy: so many pages only later")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for page in range(1, min(pages, 10) + 1):
            self.event("progress", {"fraction": page / pages, "message": f"page {page} of {pages}"})
            # A job that was cancelled, or ran out of time, has closed the connection: this write fails.
            time.sleep(0.05)
        self.event("output", {"pages": pages})

    def event(self, name, data):
        self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def problem(self, status, headers={}, **members):
        body = json.dumps(members).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/problem+json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9000), Service)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
