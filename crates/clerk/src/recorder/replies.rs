//! Replies: successes first, which are most of them, then the others.

use clerkwork_broker::{Delivery, Message, Published};
use clerkwork_core::{Clock as _, JobId, event};
use clerkwork_faults::{Point, reach};
use clerkwork_store::{Error, Recorder};

use super::answers::{self, item};
use super::batch::{self, Item, Rules};
use super::handle::Followed;
use super::task::{AGAIN, RecorderTask};
use super::{Answered, Incoming};
use crate::counters::Counters;

/// The most bytes of replies in one commit, beyond the first message's.
const PART_BYTES: usize = 16 * 1024 * 1024;

/// Replies on their way into the record. What is done is taken out, so that nothing is done or counted
/// twice where the store fails in between.
#[derive(Debug)]
pub(super) struct Work {
    /// Those that succeeded.
    pub(super) successes: Vec<Answered>,
    /// Those that did not, or whose success cannot be kept.
    pub(super) others: Vec<Answered>,
    /// Replies for the operator.
    pub(super) aside: Vec<Message>,
    /// Attempts that have answered now and were, or may have been, told to stop.
    pub(super) stopped: Vec<(JobId, u32)>,
}

impl Work {
    fn of(answers: Vec<Answered>) -> Self {
        let succeeded = |answer: &Answered| matches!(answer.reply, event::Reply::Succeeded { .. });
        let (successes, others) = answers.into_iter().partition(succeeded);
        Self {
            successes,
            others,
            aside: Vec::new(),
            stopped: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.successes.len() + self.others.len()
    }
}

impl RecorderTask {
    /// Records replies, however long the store takes: they stay on the broker until then.
    pub(super) async fn record_replies(
        &self,
        recorder: &mut Option<Box<dyn Recorder>>,
        incoming: Vec<Incoming>,
    ) {
        reach(Point::RecordAfterConsume);
        let mut deliveries = Vec::with_capacity(incoming.len());
        let mut answers: Vec<Answered> = Vec::new();
        for message in incoming {
            deliveries.push(message.delivery);
            for mut answer in message.answers {
                if let Some(why) = answers::cannot_be_kept(&answer, self.config.max_output) {
                    Counters::count(&self.counters.unfit);
                    answer.reply = why;
                }
                answers.push(answer);
            }
        }
        let mut work = Work::of(answers);
        while let Err(error) = self.try_replies(recorder, &mut work).await {
            tracing::warn!(%error, replies = work.len(), "replies could not be recorded yet");
            *recorder = None;
            tokio::select! {
                biased;
                () = tokio::time::sleep(AGAIN) => {}
                () = self.stop.cancelled() => return,
            }
        }
        if self.put_aside(work.aside).await {
            deliveries.into_iter().for_each(Delivery::ack);
            reach(Point::RecordAfterAck);
        } else {
            // What was recorded is late the next time, and changes nothing.
            deliveries.into_iter().for_each(Delivery::requeue);
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn try_replies(
        &self,
        recorder: &mut Option<Box<dyn Recorder>>,
        work: &mut Work,
    ) -> Result<(), Error> {
        let recorder = self.open(recorder).await?.as_mut();
        let rules = Rules {
            now: self.clock.now(),
            lease: self.config.lease,
        };
        if !work.successes.is_empty() {
            self.succeed(recorder, work, rules).await?;
        }
        if !work.others.is_empty() {
            self.record_others(recorder, work, rules).await?;
        }
        if !work.stopped.is_empty() {
            recorder.forget_cancels(&work.stopped).await?;
        }
        Ok(())
    }

    async fn record_others(
        &self,
        recorder: &mut dyn Recorder,
        work: &mut Work,
        rules: Rules,
    ) -> Result<(), Error> {
        let items: Vec<Item> = work
            .others
            .iter()
            .map(|answer| item(answer, answer.reply.clone()))
            .collect();
        let recorded = batch::record(recorder, &items, rules).await;
        if recorded.failure.is_none() {
            reach(Point::RecordAfterCommit);
        }
        let (mut done, mut followed) = (Vec::new(), Vec::new());
        for (answer, came) in std::mem::take(&mut work.others)
            .into_iter()
            .zip(recorded.followed)
        {
            match came {
                Some(came) => {
                    done.push(answer);
                    followed.push(came);
                }
                None => work.others.push(answer),
            }
        }
        work.aside.extend(self.late(&done, &followed));
        work.stopped.extend(answers::stopped_by(&done, &followed));
        self.settle(recorded.settled);
        recorded.failure.map_or(Ok(()), Err)
    }

    /// Counts what came too late; returns what is to be put aside.
    fn late(&self, others: &[Answered], followed: &[Followed]) -> Vec<Message> {
        let mut aside = Vec::new();
        for (answer, followed) in others.iter().zip(followed) {
            match (&followed.job, followed.changed) {
                (None, _) => aside.extend(self.aside(answer)),
                (Some(_), false) => Counters::count(&self.counters.late),
                (Some(_), true) => {}
            }
        }
        aside
    }

    /// A good reply for a job that the store should know and does not goes to the operator; one for a
    /// job past its retention is only counted.
    pub(super) fn aside(&self, answer: &Answered) -> Option<Message> {
        let age = self.clock.now().since(answer.correlation.job.moment());
        if age >= self.config.retention {
            Counters::count(&self.counters.late);
            return None;
        }
        Some(Message {
            exchange: String::new(),
            key: self.names.aside(),
            durable: true,
            envelope: answer.raw.clone().encode(),
        })
    }

    /// Publishes them; tells whether the broker has all of them.
    async fn put_aside(&self, aside: Vec<Message>) -> bool {
        if aside.is_empty() {
            return true;
        }
        let published = self.broker.publish(aside).await;
        let confirmed = |published: &&Published| **published == Published::Confirmed;
        for _ in published.iter().filter(confirmed) {
            Counters::count(&self.counters.aside);
        }
        published
            .iter()
            .all(|published| *published == Published::Confirmed)
    }
}

/// Messages in parts that one statement can take: a batch that the store could not write in time
/// would come back for ever.
pub(super) fn parts(incoming: Vec<Incoming>) -> Vec<Vec<Incoming>> {
    let mut parts: Vec<Vec<Incoming>> = Vec::new();
    let mut bytes = usize::MAX;
    for message in incoming {
        let size = message.delivery.envelope.body.len();
        if bytes.saturating_add(size) > PART_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(part) = parts.last_mut() {
            part.push(message);
        }
    }
    parts
}
