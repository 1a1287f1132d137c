//! The way of one node to the database: slow, and at times in vain.

use std::fmt;
use std::sync::Arc;

use clerkwork_faulty::{Call, Does, Way};
use clerkwork_store::Error;

use crate::at_once::at_once;
use crate::dice;
use crate::time::under;
use crate::world::{Life, Sky, World};

/// How long a call to a store that is away may take until it is given up.
const GIVEN_UP_MS: u64 = 5_000;

/// The way of one node to the database.
#[derive(Clone, Debug)]
pub(crate) struct Road {
    pub(crate) world: Arc<World>,
    pub(crate) node: Arc<str>,
    pub(crate) life: Life,
    pub(crate) sky: Arc<Sky>,
}

/// What becomes of a call.
enum Fate {
    Answered,
    /// Nothing is done, and the caller is told so, or is not.
    Undone(Error),
    /// It is done, and the caller is not told.
    Unanswered,
}

impl Way for Road {
    async fn call<T, F>(
        &self,
        Call { what, does }: Call,
        work: impl Fn() -> F + Send + Sync,
    ) -> Result<T, Error>
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let answer = self.travel(what, does == Does::Writes, work()).await;
        answer.map_err(|error| match error {
            // Of what changes nothing everything is known.
            Error::Unknown(why) if does == Does::Reads => Error::Unavailable(why),
            error => error,
        })
    }

    fn note(&self, what: &str, came: fmt::Arguments<'_>) {
        self.world
            .note(format_args!("{} store {what}: {came}", self.node));
    }

    /// Nobody's connections are those of all.
    fn closes(&self) -> bool {
        false
    }
}

impl Road {
    async fn travel<T>(
        &self,
        what: &str,
        is_noted: bool,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.life.go_on().await;
        dice::pass(dice::moment()).await;
        self.life.go_on().await;
        let fate = self.fate();
        if let Fate::Undone(error) = fate {
            self.note(what, format_args!("{error}"));
            return Err(error);
        }
        let done = under(&self.world.wall, || at_once(work));
        match &done {
            Ok(_) if is_noted => self.note(what, format_args!("done")),
            Ok(_) => {}
            Err(error) => self.note(what, format_args!("{error}")),
        }
        if let Fate::Unanswered = fate {
            self.note(what, format_args!("not answered"));
            dice::pass(dice::millis(0..GIVEN_UP_MS)).await;
            return Err(Error::Unknown("it was not answered".to_owned()));
        }
        dice::pass(dice::moment()).await;
        self.life.go_on().await;
        done
    }

    fn fate(&self) -> Fate {
        let weather = self.sky.now();
        if weather.store_away || dice::odds(weather.store_refuses) {
            return Fate::Undone(match dice::odds(0.3) {
                true => Error::Unknown("it is away".to_owned()),
                false => Error::Unavailable("it is away".to_owned()),
            });
        }
        if dice::odds(weather.store_unanswered) {
            return Fate::Unanswered;
        }
        Fate::Answered
    }
}
