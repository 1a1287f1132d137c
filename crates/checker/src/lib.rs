//! A history of what was seen of a system from outside, and the check whether it kept its promises.
//!
//! Clients write an event before and after each call, workers one at each start and end of a run with a
//! nonce that the output carries, and the hand that injects faults says what it did. Whoever has such a
//! history, a run against real processes or a simulation, gives it to [`check`].
//!
//! ```
//! use clerkwork_checker::{History, Op, Rule, Rules, Submission, What, check};
//!
//! let mut history = History::default();
//! let submission = Submission { token: "a".to_owned(), ..Submission::default() };
//! let invoke = What::Invoke { call: 1, client: "c".to_owned(), node: "clerk1".to_owned(), op: Op::Submit(submission) };
//! history.push(invoke.at(1_000));
//! history.push(What::Info { call: 1, why: "the connection broke".to_owned() }.at(1_500));
//! let verdict = check(&history, &Rules { least_accepted: 1, ..Rules::default() });
//! assert_eq!(verdict.violations[0].rule, Rule::Vacuous);
//! ```
//!
//! A history keeps what the rules need of each job, about a kilobyte, not its events.

mod check;
mod event;
mod history;
#[cfg(test)]
mod memory;
mod rules;
#[cfg(test)]
mod scene;
mod trace;

pub use check::{Counts, Rule, Rules, Verdict, Violation, check};
pub use event::{Event, How, Op, Phase, Status, Submission, View, What};
pub use history::{History, Unreadable};
