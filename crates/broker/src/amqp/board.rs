//! The status of the whole: of the connection that publishes and the one that consumes.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::Status;

/// Keeps the status of both connections and shows the worse one.
#[derive(Debug)]
pub(super) struct Board {
    views: Mutex<[View; 2]>,
    status: watch::Sender<Status>,
}

/// Which connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    /// The one that publishes.
    Publish,
    /// The one that consumes.
    Consume,
    /// The one that declares and looks. It is made when it is needed, and replaced now and then: whoever
    /// asks something on it is told whether it is there.
    Declare,
}

/// The status of one connection.
#[derive(Clone, Debug)]
pub(super) enum View {
    Up,
    Blocked,
    Down(String),
}

impl Board {
    pub(super) fn new() -> Self {
        let connecting = View::Down("connecting".to_owned());
        let status = watch::Sender::new(Status::Down("connecting".to_owned()));
        Self {
            views: Mutex::new([connecting.clone(), connecting]),
            status,
        }
    }

    pub(super) fn set(&self, side: Side, view: View) {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match side {
            Side::Publish => 0,
            Side::Consume => 1,
            Side::Declare => return,
        };
        views[slot] = view;
        let status = overall(&views);
        // Under the lock, so that the last word is the last view.
        self.status.send_if_modified(|shown| {
            let changed = *shown != status;
            *shown = status;
            changed
        });
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }
}

/// Only publishers are blocked, so only the connection that publishes is asked about that.
fn overall([publish, consume]: &[View; 2]) -> Status {
    match (publish, consume) {
        (View::Down(reason), _) | (_, View::Down(reason)) => Status::Down(reason.clone()),
        (View::Blocked, _) => Status::Blocked,
        (View::Up, View::Up | View::Blocked) => Status::Up,
    }
}
