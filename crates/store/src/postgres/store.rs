//! The store's verbs, each with its deadline and on a connection that is lent to it.

use std::time::Duration;

use async_trait::async_trait;
use clerkwork_core::{ClerkId, Job, JobId, KeyId, QueueName, Secret, UnixMs, WebhookSecret};
use tokio::time::Instant;

use super::accept::TRIES;
use super::open::Options;
use super::pooled::Pooled;
use super::record::PostgresRecorder;
use super::session::Session;
use super::trouble::Trouble;
use super::write::PostgresWriter;
use super::{api_keys, days, fleet, keys, later, prune, queues, read, schema, webhooks};
use crate::deadline::{self, UPKEEP};
use crate::lease::{Lease, Leases};
use crate::{
    Accepted, AttemptRow, Backlog, Blob, Cancel, ClerkRow, DueWebhook, Error, Filter, Kept, Key,
    KnownKey, KnownQueue, Listed, QueueDeletion, QueueStats, Recorder, Store, WebhookChange,
    Webhooks, WorkerRow, Writer,
};

/// The most connections, beside those of writers and recorders.
const CONNECTIONS: usize = 8;
/// The number that there are beside for lists, which read more than others: nobody else waits for them.
const LISTS: usize = 4;

/// The record of a fleet.
#[derive(Debug)]
pub(super) struct PostgresStore {
    options: Options,
    sessions: Leases<Session>,
    lists: Leases<Session>,
    left_days: prune::LeftDays,
    /// Only with a planted defect.
    pooled: Option<Pooled>,
}

impl PostgresStore {
    pub(super) async fn open(options: Options) -> Result<Self, Error> {
        let options = schema::located(&options).await?;
        let mut session = options.upkeep().await?;
        schema::fits(&mut session).await?;
        if options.is_for_jobs {
            schema::tell_of_standbys(&mut session).await?;
        }
        let now = schema::now(&mut session).await?;
        days::make_around(&mut session, now).await?;
        session.close().await;
        let pooled = Pooled::planted(&options)?;
        Ok(Self {
            options,
            pooled,
            sessions: Leases::new(CONNECTIONS),
            lists: Leases::new(LISTS),
            left_days: prune::LeftDays::default(),
        })
    }

    async fn lend<'s>(&self, sessions: &'s Leases<Session>) -> Result<Lease<'s, Session>, Error> {
        let open = async || self.options.session().await;
        let mut lease = sessions.lease(open).await?;
        if !lease.is_there().await {
            sessions.forget_idle();
            *lease = open().await?;
        }
        Ok(lease)
    }
}

/// Asks on a lent connection, within the deadline of reads; once more on a new one if that was broken.
macro_rules! read {
    ($self:ident, |$session:ident| $work:expr) => {
        read!($self, sessions, |$session| $work)
    };
    ($self:ident, $sessions:ident, |$session:ident| $work:expr) => {
        deadline::read(async {
            let mut lease = $self.lend(&$self.$sessions).await?;
            let $session: &mut Session = &mut lease;
            let mut found = $work.await;
            if matches!(
                found,
                Err(Trouble::Over(Error::Unavailable(_) | Error::Unknown(_)))
            ) {
                $self.$sessions.forget_idle();
                drop(lease);
                lease = $self.lend(&$self.$sessions).await?;
                let $session: &mut Session = &mut lease;
                found = $work.await;
            }
            let found = found?;
            lease.give_back();
            Ok(found)
        })
        .await
    };
}

/// Writes on a lent connection, within the deadline of writes, and again as a whole when others were
/// in the way.
macro_rules! write {
    ($self:ident, |$session:ident| $work:expr) => {
        deadline::write(async {
            let mut lease = $self.lend(&$self.sessions).await?;
            let $session: &mut Session = &mut lease;
            let mut tries = 0;
            let done = loop {
                tries += 1;
                match $work.await {
                    Err(Trouble::Busy(_)) if tries < TRIES => $session.rollback().await?,
                    Err(trouble) => {
                        $self.sessions.forget_idle();
                        break Err(trouble)?;
                    }
                    Ok(done) => break done,
                }
            };
            lease.give_back();
            Ok(done)
        })
        .await
    };
}

#[async_trait]
impl Store for PostgresStore {
    async fn writer(&self, name: &str) -> Result<Box<dyn Writer>, Error> {
        let session = self.options.session().await?;
        Ok(Box::new(
            deadline::write(PostgresWriter::register(session, name, self.pooled.clone())).await?,
        ))
    }

    async fn recorder(&self) -> Result<Box<dyn Recorder>, Error> {
        let recorder = PostgresRecorder::open(self.options.clone()).await?;
        Ok(Box::new(recorder))
    }

    async fn clerks(&self) -> Result<Vec<ClerkRow>, Error> {
        read!(self, |session| fleet::clerks(session))
    }

    async fn take_over(
        &self,
        clerk: ClerkId,
        silent_since: UnixMs,
        now: UnixMs,
    ) -> Result<u64, Error> {
        write!(self, |session| fleet::take_over(
            session,
            clerk,
            silent_since,
            now
        ))
    }

    async fn secrets(&self) -> Result<Vec<Secret>, Error> {
        write!(self, |session| fleet::secrets(session))
    }

    async fn now(&self) -> Result<UnixMs, Error> {
        read!(self, |session| schema::now(session))
    }

    async fn get(
        &self,
        tenant: Option<&str>,
        ids: &[JobId],
        outputs: u64,
    ) -> Result<Vec<Kept>, Error> {
        read!(self, |session| read::get(session, tenant, ids, outputs))
    }

    async fn input(&self, tenant: Option<&str>, id: JobId) -> Result<Option<Blob>, Error> {
        read!(self, |session| read::input(session, tenant, id))
    }

    async fn output(&self, tenant: Option<&str>, id: JobId) -> Result<Option<Blob>, Error> {
        read!(self, |session| read::output(session, tenant, id))
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRow>, Error> {
        read!(self, |session| read::attempts(session, id))
    }

    async fn list(&self, tenant: &str, filter: &Filter) -> Result<Listed, Error> {
        let end = Instant::now() + deadline::READ;
        let is_wanted = || self.lists.is_wanted();
        read!(self, lists, |session| read::list(
            session, tenant, filter, end, is_wanted
        ))
    }

    async fn declare_queues(
        &self,
        queues: &[QueueName],
        now: UnixMs,
    ) -> Result<Vec<QueueName>, Error> {
        write!(self, |session| queues::declare(session, queues, now))
    }

    async fn queues(&self) -> Result<Vec<KnownQueue>, Error> {
        read!(self, |session| queues::all(session))
    }

    async fn pause_queue(&self, queue: &QueueName, paused: bool) -> Result<bool, Error> {
        write!(self, |session| queues::pause(session, queue, paused))
    }

    async fn delete_queue(&self, queue: &QueueName, now: UnixMs) -> Result<QueueDeletion, Error> {
        write!(self, |session| queues::delete(session, queue, now))
    }

    async fn queue_stats(
        &self,
        queue: Option<&QueueName>,
        now: UnixMs,
    ) -> Result<Vec<QueueStats>, Error> {
        read!(self, |session| queues::stats(session, queue, now))
    }

    async fn unfinished(&self, now: UnixMs) -> Result<Vec<(String, u64)>, Error> {
        read!(self, |session| queues::unfinished(session, now))
    }

    async fn claimed(&self, key: &Key, now: UnixMs) -> Result<Option<Accepted>, Error> {
        read!(self, |session| keys::claimed(session, key, now))
    }

    async fn add_key(&self, key: &KnownKey) -> Result<bool, Error> {
        write!(self, |session| api_keys::add(session, key))
    }

    async fn keys(&self, ids: Option<&[KeyId]>) -> Result<Vec<KnownKey>, Error> {
        read!(self, |session| api_keys::known(session, ids))
    }

    async fn any_keys(&self) -> Result<bool, Error> {
        if let Some(pooled) = &self.pooled {
            pooled.begin().await.map_err(Trouble::error)?;
        }
        read!(self, |session| api_keys::any(session))
    }

    async fn revoke_key(&self, id: KeyId, now: UnixMs) -> Result<bool, Error> {
        write!(self, |session| api_keys::revoke(session, id, now))
    }

    async fn claim_due(&self, now: UnixMs, until: UnixMs, limit: u32) -> Result<Vec<Job>, Error> {
        write!(self, |session| later::claim_due(session, now, until, limit))
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, Error> {
        read!(self, |session| queues::backlog(session))
    }

    async fn watch(&self, from: JobId, to: JobId, wake_at: UnixMs) -> Result<u64, Error> {
        write!(self, |session| later::watch(session, from, to, wake_at))
    }

    async fn out(&self, after: Option<JobId>, limit: u32) -> Result<Vec<Job>, Error> {
        read!(self, |session| read::out(session, after, limit))
    }

    async fn dispatched(
        &self,
        queue: &QueueName,
        recent: JobId,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>, Error> {
        read!(self, |session| later::dispatched(
            session, queue, recent, after, limit
        ))
    }

    async fn keep_workers(&self, workers: &[WorkerRow]) -> Result<(), Error> {
        write!(self, |session| fleet::keep_workers(session, workers))
    }

    async fn workers(
        &self,
        ids: Option<&[String]>,
        since: UnixMs,
    ) -> Result<Vec<WorkerRow>, Error> {
        read!(self, |session| fleet::workers(session, ids, since))
    }

    async fn cancels(&self, after: i64, limit: u32) -> Result<Vec<Cancel>, Error> {
        read!(self, |session| fleet::cancels(session, after, limit))
    }

    async fn queue_cancels(
        &self,
        queue: &QueueName,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Cancel>, Error> {
        read!(self, |session| fleet::queue_cancels(
            session, queue, after, limit
        ))
    }

    async fn prune(&self, now: UnixMs, retention: Duration) -> Result<u64, Error> {
        deadline::write_for(UPKEEP, async {
            let mut session = self.options.upkeep().await?;
            let gone = prune::prune(&mut session, &self.left_days, now, retention).await?;
            session.close().await;
            Ok(gone)
        })
        .await
    }

    async fn close(&self) {
        for session in self.sessions.close().into_iter().chain(self.lists.close()) {
            session.close().await;
        }
    }
}

#[async_trait]
impl Webhooks for PostgresStore {
    async fn claim_webhooks(
        &self,
        now: UnixMs,
        until: UnixMs,
        limit: u32,
    ) -> Result<Vec<DueWebhook>, Error> {
        write!(self, |session| webhooks::claim(session, now, until, limit))
    }

    async fn keep_webhooks(&self, changes: &[WebhookChange]) -> Result<Vec<bool>, Error> {
        write!(self, |session| webhooks::keep(session, changes))
    }

    async fn redeliver(&self, tenant: &str, id: JobId, now: UnixMs) -> Result<bool, Error> {
        write!(self, |session| webhooks::redeliver(
            session, tenant, id, now
        ))
    }

    async fn webhook_secrets(
        &self,
        tenant: &str,
        now: UnixMs,
    ) -> Result<Vec<WebhookSecret>, Error> {
        write!(self, |session| webhooks::secrets(session, tenant, now))
    }

    async fn rotate_webhook_secret(
        &self,
        tenant: &str,
        now: UnixMs,
    ) -> Result<Vec<WebhookSecret>, Error> {
        write!(self, |session| webhooks::rotate(session, tenant, now))
    }
}
