// Receives webhooks and verifies them; prints each, and says which came before. Needs no packages.
//
//     WEBHOOK_SECRET=$(clerkwork webhook-secret show --tenant default --store …) node receive_webhook.mjs 127.0.0.1:8000

import { createServer } from "node:http";
import { createHmac, timingSafeEqual } from "node:crypto";

const WINDOW = 5 * 60; // seconds: what was signed longer ago is a message that is played again
const LARGEST = 1024 * 1024; // bytes: more than any webhook has

const key = Buffer.from((process.env.WEBHOOK_SECRET ?? "").replace(/^whsec_/, ""), "base64");
if (key.length < 24) throw new Error("WEBHOOK_SECRET must hold the secret");
const seen = new Set();

// Whether a message is ours: `body` is its bytes as they came. After a rotation it has two signatures.
function isGenuine(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signatures } = headers;
  if (!id || !/^\d+$/.test(time ?? "") || !signatures) return false;
  if (Math.abs(Date.now() / 1000 - Number(time)) > WINDOW) return false;
  const expected = createHmac("sha256", key).update(`${id}.${time}.`).update(body).digest();
  return signatures.split(" ").some((signature) => {
    const given = Buffer.from(signature.replace(/^v1,/, ""), "base64");
    return signature.startsWith("v1,") && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

function receive(headers, body) {
  if (!isGenuine(headers, body)) {
    console.log("refused");
    return 401;
  }
  const message = JSON.parse(body);
  if (seen.has(headers["webhook-id"])) {
    console.log("known already", message.type, message.data.id);
  } else {
    seen.add(headers["webhook-id"]);
    console.log("verified", JSON.stringify(message));
  }
  return 204;
}

// The bytes of a request's body, unless it is cut off or too large.
async function bytesOf(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > LARGEST) throw new Error("too large");
    parts.push(part);
  }
  return Buffer.concat(parts);
}

const server = createServer((request, response) => {
  bytesOf(request).then(
    (body) => response.writeHead(receive(request.headers, body)).end(),
    () => response.destroy(),
  );
});
const [host, port] = process.argv[2].split(":");
server.listen(Number(port), host, () => console.log("listening on", `${host}:${server.address().port}`));
