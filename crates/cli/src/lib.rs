//! Clerkwork: HTTP in, any worker, result out, nothing lost.
//!
//! The package is the binary `clerkwork` and this library. [`Embedded`] holds the whole thing in
//! one process: clerk, queue, record and handlers. [`Fleet`] runs handlers as a worker of a fleet.
//! A handler is an async function: see [`Worker`].

mod columns;
mod commands;
mod embedded;
mod environment;
mod exit;
mod fleet;
mod follow;
mod health;
mod layers;
mod listen;
mod logging;
mod services;
mod settings;
mod signals;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;
use clerkwork_worker::exec::guard;

pub use clerkwork_clerk::Config;
pub use clerkwork_client as client;
pub use clerkwork_worker::{
    Attempt, Cancelled, Context, Deadline, FromContext, FromInput, FromState, Handler, Input,
    IntoInput, IntoOutput, JobError, JobId, Level, Options, Output, Progress, Queue, State, Worker,
    testing,
};
pub use embedded::{Embedded, EmbeddedError, System};
pub use fleet::{Fleet, FleetError};
pub use listen::{ListenError, OpenError};
pub use services::ServiceError;
pub use settings::check_file as check_settings_file;
pub use signals::{Interrupted, until_signal};

use exit::{Exit, Failure};

/// The whole command line: what `main` of the binary calls.
#[must_use]
pub fn command_line() -> ExitCode {
    // One is started per job that is a command: before all else.
    if let Some(ended) = guard::run_if_asked() {
        return ended;
    }
    environment::conceal_secrets();
    let arguments = commands::CommandLine::parse();
    let armed = clerkwork_faults::arm().map_err(|unknown| unknown.to_string());
    let armed = armed.and_then(|()| layers::arm().map_err(|none| none.to_string()));
    if let Err(sentence) = armed {
        terminal::note(&format!("error: {sentence}"));
        return Exit::Usage.code();
    }
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| {
            let ended = runtime.block_on(arguments.run());
            // What still blocks a thread, a look-up of a name say, must not hold the exit.
            runtime.shutdown_background();
            ended
        });
    match ended {
        Ok(exit) => exit.code(),
        Err(Failure { exit, sentence, .. }) => {
            if exit != Exit::Ok {
                terminal::note(&format!("error: {sentence}"));
            }
            exit.code()
        }
    }
}
