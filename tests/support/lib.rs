//! Starts whole systems for the end-to-end tests: the real binary, in one process or as a fleet on real services.
//!
//! A test says what it needs ([`Kind::plan`]), starts it ([`Plan::start`]) and gets a [`System`], which is taken away again,
//! databases and queues included, when it is dropped. [`claims!`] runs the same claims over both kinds.

#![expect(
    clippy::expect_used,
    reason = "a test's support fails the test, with a sentence, where something is not as it must be"
)]

mod api;
mod browser;
mod bus;
mod front;
mod heavy;
mod inbox;
mod journal;
mod load;
mod pipe;
mod plan;
mod process;
mod programs;
mod proxy;
mod receiver;
mod seed;
mod services;
mod site;
mod system;
mod tls;
mod until;

pub mod own;

pub use api::{Api, Problem};
pub use browser::Browser;
pub use bus::Bus;
pub use front::{Front, nginx_config};
pub use heavy::heavy;
pub use inbox::Inbox;
pub use journal::Journal;
pub use load::{Load, Seen};
pub use pipe::Pipe;
pub use plan::{Kind, Plan};
pub use process::{Process, Signal};
pub use programs::{chaos, clerkwork, client_tools, example, node, python, repository};
pub use proxy::{Proxy, Way};
pub use receiver::{Language, Receiver};
pub use seed::seed;
pub use services::Services;
pub use site::Site;
pub use system::{Clerk, System};
pub use tls::{Authority, Secure};
pub use until::eventually;

/// Makes a test of every claim, an `async fn name(kind: Kind)`, for the embedded mode and for a fleet.
#[macro_export]
macro_rules! claims {
    ($($claim:ident),+ $(,)?) => {
        mod embedded {
            $(
                #[tokio::test]
                async fn $claim() {
                    super::$claim($crate::Kind::Embedded).await;
                }
            )+
        }
        mod fleet {
            $(
                #[tokio::test]
                async fn $claim() {
                    super::$claim($crate::Kind::Fleet).await;
                }
            )+
        }
    };
}
