//! Random numbers, and where they come from: the system, or the seed of a simulation.

use std::cell::RefCell;
use std::convert::Infallible;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _, TryCryptoRng, TryRng};

thread_local! {
    static SEEDED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// Where everything of Clerkwork takes its random numbers from.
#[must_use]
pub fn chance() -> Chance {
    Chance(())
}

/// Lets this thread draw from a seed from now on, or with `None` from the system again: a simulation
/// is repeatable then.
pub fn seed(seed: Option<u64>) {
    SEEDED.with(|seeded| *seeded.borrow_mut() = seed.map(StdRng::seed_from_u64));
}

/// A source of random numbers: the system's, unless this thread was given a [`seed`].
#[derive(Clone, Copy, Debug)]
pub struct Chance(());

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(SEEDED.with(|seeded| match &mut *seeded.borrow_mut() {
            Some(seeded) => seeded.next_u32(),
            None => rand::rng().next_u32(),
        }))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(SEEDED.with(|seeded| match &mut *seeded.borrow_mut() {
            Some(seeded) => seeded.next_u64(),
            None => rand::rng().next_u64(),
        }))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        SEEDED.with(|seeded| match &mut *seeded.borrow_mut() {
            Some(seeded) => seeded.fill_bytes(bytes),
            None => rand::rng().fill_bytes(bytes),
        });
        Ok(())
    }
}

impl TryCryptoRng for Chance {}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again_and_the_system_never() {
        let draw = |from| {
            seed(from);
            chance().random::<u128>()
        };
        assert_eq!(draw(Some(7)), draw(Some(7)));
        assert_ne!(draw(Some(7)), draw(Some(8)));
        assert_ne!(draw(None), draw(None));
    }
}
