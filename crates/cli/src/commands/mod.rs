//! The commands, one file each.

pub(crate) mod attempts;
pub(crate) mod cancel;
pub(crate) mod clerk;
pub(crate) mod client;
pub(crate) mod completions;
pub(crate) mod delete;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod get;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod migrate;
pub(crate) mod openapi;
pub(crate) mod output;
mod place;
pub(crate) mod queue;
pub(crate) mod redeliver;
pub(crate) mod retry;
pub(crate) mod show;
pub(crate) mod submit;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod watch;
pub(crate) mod webhook_secret;
pub(crate) mod worker;
pub(crate) mod workers;

use std::future::Future;

use clap::{Parser, Subcommand};

use crate::exit::{Exit, Failure};

/// Accept slow HTTP requests, run them on private workers, hand back what came out.
#[derive(Debug, Parser)]
#[command(name = "clerkwork", version, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    #[command(hide = true)]
    DemoWorker(demo::worker::DemoWorker),
    Dev(dev::Dev),
    Clerk(clerk::Clerk),
    Worker(worker::Worker),
    Migrate(migrate::Migrate),
    Submit(submit::Submit),
    Get(get::Get),
    Wait(wait::Wait),
    Watch(watch::Watch),
    Output(output::Output),
    Attempts(attempts::Attempts),
    Cancel(cancel::Cancel),
    Retry(retry::Retry),
    Redeliver(redeliver::Redeliver),
    Delete(delete::Delete),
    List(list::List),
    Queue(queue::Queue),
    Workers(workers::Workers),
    Openapi(openapi::Openapi),
    WebhookSecret(webhook_secret::WebhookSecretCommand),
    Key(key::Key),
    Completions(completions::Completions),
    Version(version::Version),
}

impl CommandLine {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Dev(dev) => Box::pin(dev.run()).await,
            Command::Clerk(clerk) => Box::pin(clerk.run()).await,
            Command::Worker(worker) => Box::pin(worker.run()).await,
            Command::Demo(demo) => interruptible(demo.run()).await,
            Command::DemoWorker(worker) => worker.run().await,
            Command::Migrate(migrate) => interruptible(migrate.run()).await,
            Command::Submit(submit) => interruptible(submit.run()).await,
            Command::Get(get) => interruptible(get.run()).await,
            Command::Wait(wait) => interruptible(wait.run()).await,
            Command::Watch(watch) => interruptible(watch.run()).await,
            Command::Output(output) => interruptible(output.run()).await,
            Command::Attempts(attempts) => interruptible(attempts.run()).await,
            Command::Cancel(cancel) => interruptible(cancel.run()).await,
            Command::Retry(retry) => interruptible(retry.run()).await,
            Command::Redeliver(redeliver) => interruptible(redeliver.run()).await,
            Command::Delete(delete) => interruptible(delete.run()).await,
            Command::List(list) => interruptible(list.run()).await,
            Command::Queue(queue) => interruptible(queue.run()).await,
            Command::Workers(workers) => interruptible(workers.run()).await,
            Command::Openapi(openapi) => openapi.run(),
            Command::WebhookSecret(secret) => interruptible(secret.run()).await,
            Command::Key(key) => interruptible(key.run()).await,
            Command::Completions(completions) => completions.run(),
            Command::Version(version) => version.run(),
        }
    }
}

/// Ends what has nothing to drain when a person or a supervisor says so.
async fn interruptible(
    command: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    let mut signals = crate::signals::Signals::new()?;
    tokio::select! {
        result = Box::pin(command) => result,
        exit = signals.next() => Ok(exit),
    }
}
