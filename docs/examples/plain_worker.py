#!/usr/bin/env python3
"""A plain worker: answers {"text": "abc"} with {"text": "ABC"}, and anything else in upper case.

    pip install pika
    AMQP_URL=amqp://guest:guest@127.0.0.1:5672/%2F python3 plain_worker.py upper [clerkwork]
"""

import json
import os
import sys

import pika


def upper(body):
    """The work: the input's bytes in, the output's bytes and their media type out."""
    try:
        value = json.loads(body)
        value["text"] = value["text"].upper()
        return json.dumps(value).encode(), "application/json"
    except (ValueError, KeyError, TypeError, AttributeError):
        return body.upper(), None  # the clerk looks what it is


def work(channel, method, job, body):
    output, content_type = upper(body)
    answer = pika.BasicProperties(
        correlation_id=job.correlation_id, content_type=content_type, delivery_mode=2
    )
    channel.basic_publish("", job.reply_to, output, answer)
    channel.basic_ack(method.delivery_tag)


queue = sys.argv[1] if len(sys.argv) > 1 else os.environ["CLERKWORK_QUEUE"]
prefix = sys.argv[2] if len(sys.argv) > 2 else os.environ.get("CLERKWORK_PREFIX", "clerkwork")
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.basic_qos(prefetch_count=1)
channel.basic_consume(f"{prefix}.jobs.{queue}", work)
channel.start_consuming()
