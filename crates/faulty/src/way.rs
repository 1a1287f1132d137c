//! What lies between a caller and its store.

use std::fmt;

use clerkwork_store::Error;

/// The way of calls to a store and of their answers back. It may take long, lead nowhere, or lose what
/// comes back; what it makes of a call is what the caller sees.
pub trait Way: Clone + fmt::Debug + Send + Sync + 'static {
    /// Takes one call there and its answer back: `work` makes it, each time that it is called and polled.
    fn call<T, F>(
        &self,
        call: Call,
        work: impl Fn() -> F + Send + Sync,
    ) -> impl Future<Output = Result<T, Error>> + Send
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send;

    /// The way of a writer or a recorder, which has a connection of its own.
    #[must_use]
    fn session(&self) -> Self {
        self.clone()
    }

    /// Hears what became of a call.
    fn note(&self, what: &str, came: fmt::Arguments<'_>) {
        let _ = (what, came);
    }

    /// Whether closing the store closes what lies behind it.
    fn closes(&self) -> bool {
        true
    }

    /// Asks for something and changes nothing.
    fn read<T, F>(
        &self,
        what: &'static str,
        work: impl Fn() -> F + Send + Sync,
    ) -> impl Future<Output = Result<T, Error>> + Send
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let does = Does::Reads;
        self.call(Call { what, does }, work)
    }

    /// Changes something.
    fn write<T, F>(
        &self,
        what: &'static str,
        work: impl Fn() -> F + Send + Sync,
    ) -> impl Future<Output = Result<T, Error>> + Send
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let does = Does::Writes;
        self.call(Call { what, does }, work)
    }

    /// Changes something many times a second, mostly nothing that is worth a word.
    fn beat<T, F>(
        &self,
        what: &'static str,
        work: impl Fn() -> F + Send + Sync,
    ) -> impl Future<Output = Result<T, Error>> + Send
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let does = Does::Beats;
        self.call(Call { what, does }, work)
    }
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its name, in words.
    pub what: &'static str,
    /// What it does.
    pub does: Does,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It changes nothing, so that all is known of it whatever becomes of its answer.
    Reads,
    /// It changes something.
    Writes,
    /// It changes something, and comes all the time.
    Beats,
}
