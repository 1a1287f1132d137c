//! What every store must do: claims as functions, stamped for a database by [`conformance!`].
//!
//! A claim takes a [`Fixture`]: a store of its own that can be crashed and opened again. Claims
//! panic where the store does not hold them, as tests do.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "claims are tests, and their names say what they claim"
)]

mod basics;
mod fixture;

pub use basics::{
    accepted_jobs_come_back_as_they_were, inputs_of_every_kind_and_size_come_back_byte_for_byte,
    outputs_of_every_kind_and_size_come_back_byte_for_byte,
};
pub use fixture::{End, Fixture, Open, queue, success};

/// Makes a test of each claim; `$fixture` is an expression that makes a [`Fixture`].
#[macro_export]
macro_rules! conformance {
    ($fixture:expr) => {
        $crate::conformance!(@ $fixture;
            accepted_jobs_come_back_as_they_were
            inputs_of_every_kind_and_size_come_back_byte_for_byte
            outputs_of_every_kind_and_size_come_back_byte_for_byte
        );
    };
    (@ $fixture:expr; $($claim:ident)*) => {
        $(
            #[tokio::test]
            async fn $claim() {
                let mut fixture = $fixture.await;
                $crate::conformance::$claim(&mut fixture).await;
                fixture.end().await;
            }
        )*
    };
}
