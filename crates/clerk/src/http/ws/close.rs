//! Why a WebSocket is closed, as its client is told.

use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::limits::TooMany;

/// Why a connection is closed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Close {
    Draining,
    Silent,
    BadMessage,
    NotAuthenticated,
    NoAuth,
    TooMany,
    TooManyOfKey,
    TooManyOfClerk,
    TooSlow,
}

impl From<TooMany> for Close {
    fn from(too_many: TooMany) -> Self {
        match too_many {
            TooMany::OfKey => Self::TooManyOfKey,
            TooMany::OfClerk => Self::TooManyOfClerk,
        }
    }
}

impl Close {
    pub(super) fn frame(self) -> CloseFrame {
        let (code, reason) = match self {
            Self::Draining => (1001, "this clerk ends: connect again, to another"),
            Self::Silent => (1001, "no sign of life for too long"),
            Self::BadMessage => (4400, "this is no message of clerkwork.v1 in at most 16 KiB"),
            Self::NotAuthenticated => (4401, "no API key or token that is good here"),
            Self::NoAuth => (4408, "no auth within 10 s"),
            Self::TooMany => (4429, "more than 1000 subscriptions"),
            Self::TooManyOfKey => (4429, "this key has as many streams as it may"),
            Self::TooManyOfClerk => (4429, "this clerk has as many streams as it may"),
            Self::TooSlow => (4429, "what is sent is not read"),
        };
        CloseFrame {
            code: code.into(),
            reason: reason.into(),
        }
    }
}
