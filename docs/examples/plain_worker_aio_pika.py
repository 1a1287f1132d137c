#!/usr/bin/env python3
"""A plain worker with aio-pika: answers {"text": "abc"} with {"text": "ABC"}, and rejects what does not fit.

    pip install 'aio-pika>=10'        # Python 3.11 or later
    AMQP_URL=amqp://guest:guest@127.0.0.1:5672/%2F python3 plain_worker_aio_pika.py upper [PREFIX]

It consumes from the queue clerkwork.jobs.upper, which the clerks declare. When it loses its connection it
ends, and the broker gives what it had in hand to another worker: let a supervisor start it again.
"""

import asyncio
import json
import os
import sys
import traceback

import aio_pika

CONCURRENCY = 4


async def upper(body):
    """The work: takes the input's bytes, returns the output's bytes and their media type.

    Work that computes for long belongs in `await asyncio.to_thread(…)`, or no heartbeats are sent.
    """
    value = json.loads(body)
    value["text"] = value["text"].upper()
    return json.dumps(value).encode(), "application/json"


async def work(channel, job):
    try:
        output, content_type = await upper(job.body)
    except Exception:
        traceback.print_exc()
        await job.reject(requeue=False)  # a failed attempt
        return
    answer = aio_pika.Message(
        output,
        correlation_id=job.correlation_id,
        content_type=content_type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    # Returns once the broker has confirmed the answer; raises if it did not take it.
    await channel.default_exchange.publish(answer, job.reply_to)
    await job.ack()


async def main(queue):
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel(on_return_raises=True)
        await channel.set_qos(prefetch_count=CONCURRENCY)
        jobs = await channel.get_queue(queue)  # looks for it, and declares nothing
        # An exception of `work` ends the group, and so the worker.
        async with asyncio.TaskGroup() as tasks, jobs.iterator() as messages:

            def cancelled(_):
                """The queue is gone: this ends the loop below. The callback must not wait for it."""
                tasks.create_task(channel.close())

            (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(cancelled)
            print(f"consuming from {queue}", flush=True)
            async for job in messages:
                tasks.create_task(work(channel, job))


queue = f"{sys.argv[2] if len(sys.argv) > 2 else 'clerkwork'}.jobs.{sys.argv[1]}"
try:
    asyncio.run(main(queue))
    reason = "the broker has ended the consumer or the connection"
except* (aio_pika.exceptions.AMQPException, OSError) as errors:
    reason = repr(errors.exceptions)
sys.exit(f"{queue}: {reason}")
