#!/usr/bin/env python3
"""A plain worker with pika: answers {"text": "abc"} with {"text": "ABC"}, and rejects what does not fit.

    pip install pika
    AMQP_URL=amqp://guest:guest@127.0.0.1:5672/%2F python3 plain_worker.py upper [PREFIX]

It consumes from the queue clerkwork.jobs.upper, which the clerks declare. When it loses its connection it
ends, and the broker gives what it had in hand to another worker: let a supervisor start it again.
"""

import json
import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pika

CONCURRENCY = 4


def upper(body):
    """The work: takes the input's bytes, returns the output's bytes and their media type."""
    value = json.loads(body)
    value["text"] = value["text"].upper()
    return json.dumps(value).encode(), "application/json"


def work(channel, method, job, body):
    """Runs the work in a thread, so that this one goes on sending heartbeats."""
    task = threads.submit(upper, body)
    then = partial(answer, channel, method, job, task)
    task.add_done_callback(lambda _: connection.add_callback_threadsafe(then))


def answer(channel, method, job, task):
    try:
        output, content_type = task.result()
    except Exception:
        traceback.print_exc()
        channel.basic_reject(method.delivery_tag, requeue=False)  # a failed attempt
        return
    properties = pika.BasicProperties(
        correlation_id=job.correlation_id, content_type=content_type, delivery_mode=2
    )
    # Returns once the broker has confirmed the answer; raises if it did not take it.
    channel.basic_publish("", job.reply_to, output, properties, mandatory=True)
    channel.basic_ack(method.delivery_tag)


queue = f"{sys.argv[2] if len(sys.argv) > 2 else 'clerkwork'}.jobs.{sys.argv[1]}"
threads = ThreadPoolExecutor(CONCURRENCY)
try:
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_qos(prefetch_count=CONCURRENCY)
    channel.basic_consume(queue, work)
    print(f"consuming from {queue}", flush=True)
    channel.start_consuming()
    reason = "the broker has ended the consumer"
except pika.exceptions.AMQPError as error:
    reason = repr(error)
print(f"{queue}: {reason}", file=sys.stderr, flush=True)
os._exit(1)  # unlike sys.exit it does not wait for threads, whose answers are not wanted any more
