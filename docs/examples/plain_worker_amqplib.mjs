// A plain worker with amqplib: answers {"text": "abc"} with {"text": "ABC"}, and rejects what does not fit.
//
//     npm install amqplib
//     AMQP_URL=amqp://guest:guest@127.0.0.1:5672/%2F node plain_worker_amqplib.mjs upper [PREFIX]
//
// It consumes from the queue clerkwork.jobs.upper, which the clerks declare. When it loses its connection it
// ends, and the broker gives what it had in hand to another worker: let a supervisor start it again.

import amqp from "amqplib";

const CONCURRENCY = 4;

// The work: takes the input's bytes, returns the output's bytes and their media type.
async function upper(body) {
  const value = JSON.parse(body);
  value.text = value.text.toUpperCase();
  return [Buffer.from(JSON.stringify(value)), "application/json"];
}

async function work(job) {
  // The broker has ended the consumer: the queue was deleted.
  if (job === null) return end("the queue is gone");
  let output, contentType;
  try {
    [output, contentType] = await upper(job.content);
  } catch (error) {
    console.error(error);
    channel.reject(job, false); // a failed attempt
    return;
  }
  const { correlationId, replyTo } = job.properties;
  const properties = { correlationId, contentType, persistent: true, mandatory: true };
  // The broker confirms the answer, and only then is the job acknowledged.
  channel.sendToQueue(replyTo, output, properties, (error) => (error ? end(error) : channel.ack(job)));
}

function end(reason) {
  console.error(`${queue}: ${reason}`);
  process.exit(1);
}

const queue = `${process.argv[3] ?? "clerkwork"}.jobs.${process.argv[2]}`;
// Keep noDelay: without it, what is sent right after an answer can wait 40 ms. A worker like this one that takes one job at
// a time and acknowledges without waiting for the confirm needed 9 s for 200 jobs, and 0.6 s with it.
const connection = await amqp.connect(process.env.AMQP_URL, { noDelay: true });
connection.on("error", end);
connection.on("close", () => end("the connection is closed"));
const channel = await connection.createConfirmChannel();
channel.on("error", end);
channel.on("return", () => end("there is no queue for the answer"));
await channel.prefetch(CONCURRENCY);
await channel.consume(queue, work);
console.log(`consuming from ${queue}`);
