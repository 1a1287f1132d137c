//! A stranger at the broker: it publishes copies of what it sees, or answers for jobs that it was never given.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerkwork_tests::Bus;
use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Consumer};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::Failure;
use crate::dice::Dice;
use crate::fleet::{Fleet, PREFIX};
use crate::recorder::Recorder;
use crate::worker::QUEUE;

/// How many messages it has in hand at a time.
const PREFETCH: u16 = 4;
/// The most copies that it keeps for later.
const KEPT: usize = 64;
/// How often it publishes one of those.
const LATER: Duration = Duration::from_millis(200);
/// How often it answers.
const ANSWERS: Duration = Duration::from_millis(15);
/// The bytes of a correlation id before its seal.
const FIELDS: usize = 33;
/// The bytes of the seal.
const SEAL: usize = 16;

/// A stranger, gone when dropped; what it had in hand goes back to its queue.
#[derive(Debug)]
pub(crate) struct Stranger {
    _doing: JoinSet<Result<(), lapin::Error>>,
}

impl Stranger {
    /// One that takes jobs and replies and puts each back several times, some of them seconds later.
    pub(crate) async fn copies(fleet: &Fleet, mut dice: Dice) -> Result<Self, Failure> {
        let mut doing = JoinSet::new();
        let url = fleet.own.rabbit.url();
        for replies in [false, true] {
            let bus = Bus::try_connect(&url, PREFIX).await?;
            let names = bus.names();
            let queue = if replies {
                names.replies()
            } else {
                names.jobs(QUEUE)
            };
            let consumer = consume(&bus, &queue).await?;
            doing.spawn(copy(bus, queue, consumer, dice.fork()));
        }
        Ok(Self { _doing: doing })
    }

    /// One that knows the jobs' ids, sees their messages and does not know the seal.
    pub(crate) async fn forges(
        fleet: &Fleet,
        recorder: &Arc<Recorder>,
        dice: Dice,
    ) -> Result<Self, Failure> {
        let bus = Bus::try_connect(&fleet.own.rabbit.url(), PREFIX).await?;
        let queue = bus.names().jobs(QUEUE);
        let consumer = consume(&bus, &queue).await?;
        let forger = Forger {
            bus,
            recorder: Arc::clone(recorder),
            dice,
            seen: VecDeque::new(),
        };
        let mut doing = JoinSet::new();
        doing.spawn(forger.forge(consumer));
        Ok(Self { _doing: doing })
    }
}

async fn consume(bus: &Bus, queue: &str) -> Result<Consumer, lapin::Error> {
    let channel = bus.channel();
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    channel
        .basic_consume(queue.into(), "".into(), options, arguments)
        .await
}

async fn copy(
    bus: Bus,
    queue: String,
    mut consumer: Consumer,
    mut dice: Dice,
) -> Result<(), lapin::Error> {
    let mut kept: VecDeque<(BasicProperties, Vec<u8>)> = VecDeque::new();
    let mut later = interval(LATER);
    loop {
        tokio::select! {
            next = consumer.next() => {
                let Some(next) = next else { return Ok(()) };
                let next = next?;
                for _ in 0..=dice.below(3) {
                    bus.publish("", &queue, next.properties.clone(), &next.data).await;
                }
                if dice.chance(20) && kept.len() < KEPT {
                    kept.push_back((next.properties.clone(), next.data.clone()));
                }
                next.ack(BasicAckOptions::default()).await?;
            }
            _ = later.tick() => {
                if let Some((properties, body)) = kept.pop_front().filter(|_| dice.chance(50)) {
                    bus.publish("", &queue, properties, &body).await;
                }
            }
        }
    }
}

/// Who answers for others' jobs.
struct Forger {
    bus: Bus,
    recorder: Arc<Recorder>,
    dice: Dice,
    /// Jobs and their correlation ids as it saw them.
    seen: VecDeque<(String, String)>,
}

impl Forger {
    async fn forge(mut self, mut consumer: Consumer) -> Result<(), lapin::Error> {
        loop {
            tokio::select! {
                next = consumer.next() => {
                    let Some(next) = next else { return Ok(()) };
                    self.peek(next?).await?;
                }
                () = sleep(ANSWERS) => self.answer().await,
            }
        }
    }

    /// Looks at a job's message and gives it back.
    async fn peek(&mut self, delivery: Delivery) -> Result<(), lapin::Error> {
        let properties = &delivery.properties;
        let text = |field: &Option<ShortString>| field.as_ref().map(ToString::to_string);
        let job = text(properties.message_id());
        let job = job.and_then(|id| Some(id.rsplit_once(':')?.0.to_owned()));
        if let (Some(job), Some(word)) = (job, text(properties.correlation_id())) {
            self.seen.push_back((job, word));
            if self.seen.len() > KEPT {
                self.seen.pop_front();
            }
        }
        let requeue = true;
        let options = BasicNackOptions {
            requeue,
            ..BasicNackOptions::default()
        };
        delivery.nack(options).await?;
        Ok(())
    }

    /// Answers a job that is open with a word of its own, or one that has ended with the right one.
    async fn answer(&mut self) {
        let open = self.recorder.open_jobs(20);
        let seen = self.dice.index(self.seen.len());
        let seen = self.seen.get(seen).cloned();
        let word = match (seen, self.dice.below(3)) {
            (Some((job, word)), 0) if self.recorder.has_ended(&job) => Some(word),
            (seen, kind) => {
                let job = open.get(self.dice.index(open.len()));
                let other = seen.filter(|_| kind == 1);
                let other = other.as_ref().map(|(_, word)| word.as_str());
                job.and_then(|job| word(&mut self.dice, job, other))
            }
        };
        let Some(word) = word else { return };
        let (properties, body) = self.reply(&word);
        let replies = self.bus.names().replies();
        self.bus.publish("", &replies, properties, &body).await;
    }

    fn reply(&mut self, word: &str) -> (BasicProperties, Vec<u8>) {
        let properties = BasicProperties::default()
            .with_correlation_id(word.into())
            .with_delivery_mode(2);
        let outcomes = ["failed", "cancelled", "expired", "returned"];
        let Some(outcome) = outcomes.get(self.dice.index(8)) else {
            let body = json!({"token": "forged", "nonce": "forged"}).to_string();
            return (
                properties.with_content_type("application/json".into()),
                body.into_bytes(),
            );
        };
        let mut headers = FieldTable::default();
        let text = |word: &str| AMQPValue::LongString(word.into());
        headers.insert("outcome".into(), text(outcome));
        headers.insert("retry".into(), text("never"));
        (properties.with_headers(headers), b"forged".to_vec())
    }
}

/// A correlation id for a job: made up, or another's with this job's id in it.
fn word(dice: &mut Dice, job: &str, other: Option<&str>) -> Option<String> {
    let id = u128::from_str_radix(&job.replace('-', ""), 16).ok()?;
    let other = other.and_then(|word| URL_SAFE_NO_PAD.decode(word).ok());
    let mut bytes = other.unwrap_or_else(|| made_up(dice));
    bytes.get_mut(..16)?.copy_from_slice(&id.to_be_bytes());
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// Attempt, revision, clerk and key as they may well be, and any seal.
fn made_up(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = vec![0; FIELDS + SEAL];
    for (at, most) in [(19, 2), (23, 3), (31, 6), (32, 1)] {
        bytes[at] = 1 + u8::try_from(dice.below(most)).unwrap_or_default();
    }
    for byte in &mut bytes[FIELDS..] {
        *byte = u8::try_from(dice.below(256)).unwrap_or_default();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use clerkwork_core::{ClerkId, Correlation, JobId, Seal, Secret, UnixMs};

    use super::*;

    #[test]
    fn a_forged_word_differs_from_a_good_one_in_nothing_but_its_seal() {
        let secret = Secret::random(1);
        let seal = Seal::new(vec![secret]).unwrap();
        let (job, other) = (JobId::at(UnixMs(1)), JobId::at(UnixMs(2)));
        let mut dice = Dice::new(7);
        let forged = word(&mut dice, &job.to_string(), None).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&forged).unwrap();
        let said = |job| Correlation {
            job,
            attempt: bytes[19].into(),
            rev: bytes[23].into(),
            clerk: ClerkId(bytes[31].into()),
        };
        let good = seal.seal(&said(job));
        assert_eq!(
            URL_SAFE_NO_PAD.decode(&good).unwrap()[..FIELDS],
            bytes[..FIELDS]
        );
        assert_eq!(seal.open(&forged), None);
        let changed = word(&mut dice, &job.to_string(), Some(&seal.seal(&said(other))));
        assert_eq!(seal.open(&changed.unwrap()), None);
    }
}
